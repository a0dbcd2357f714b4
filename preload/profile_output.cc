#include "preload/profile_output.h"

#include "core/arena/memory.h"
#include "core/base/line.h"
#include "core/base/os.h"
#include "core/profile/profile.h"
#include "preload/path.h"
#include "preload/values.h"

namespace aomalloc::profile_output {
namespace {

size_t rate = size_t{512} << 10;
preload::Path path;
AtomicWord snapshots;  // profiles that were begun by WriteSnapshot

// Not inlined, so that its stack is given back before the profile is written.
[[gnu::noinline]] int Open(size_t snapshot) {
  return path.Open("AO_MALLOC_PROFILE", os::OpenToReplace, snapshot);
}

void Write(size_t snapshot) {
  const int descriptor = Open(snapshot);
  if (descriptor < 0) return;
  {
    Output out(descriptor);
    profile::Write(&out);
  }
  path.Close(descriptor);
  if (profile::Missed() > 0) {
    Line()
        .Text("the profile lacks ")
        .Decimal(profile::Missed())
        .Text(" samples: there are too many different stacks")
        .Write();
  }
}

// exit() runs this after the program's own functions and destructors.
__attribute__((destructor)) void AtExit() {
  if (profile::IsOn()) Write(0);
}

}  // namespace

bool SetRate(const char* value) {
  return preload::ParseSize(value, 1, SIZE_MAX >> 16, &rate);
}

bool SetProfile(const char* value) {
  if (!path.Set(value)) return false;
  const char* reason = memory::MmapEnabled()
                           ? profile::Start(rate, &rate)
                           : "there is none without AO_MALLOC_ENABLE_MMAP=1";
  if (reason != nullptr) Line().Text("no profile: ").Text(reason).Write();
  return true;
}

void WriteSnapshot() {
  if (!profile::IsOn()) return;
  AO_t number;
  do {
    number = LoadRelaxed(&snapshots);
  } while (!CasRelaxed(&snapshots, number, number + 1));
  Write(number + 1);
}

}  // namespace aomalloc::profile_output
