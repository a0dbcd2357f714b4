#include "preload/report_output.h"

#include "core/arena/memory.h"
#include "core/base/atomics.h"
#include "core/base/os.h"
#include "core/heap/misuse.h"
#include "core/report/heap_report.h"
#include "core/report/statistics.h"
#include "preload/path.h"
#include "preload/values.h"

namespace aomalloc::report_output {
namespace {

using preload::IsWord;

preload::Path path;
bool at_exit;
bool as_json;
AtomicWord misuse;  // 1 after a report at misuse

// Not inlined, so that its stack is given back before the report is written.
[[gnu::noinline]] int Open() {
  return path.Open("AO_MALLOC_STATS", os::OpenToAppend);
}

void OnMisuseAbort() {
  Write("at misuse");
  StoreRelaxed(&misuse, 1);  // for a handler of this thread
}

void OnExhausted() { Write("out of memory"); }

// exit() runs this after the program's own functions and destructors.
__attribute__((destructor)) void AtExit() {
  if (at_exit) Write("at exit");
}

}  // namespace

bool SetStats(const char* value) {
  if (IsWord(value, "0")) return true;
  if (IsWord(value, "1")) {
    path.SetDescriptor(2);
  } else if (!path.Set(value)) {
    return false;
  }
  at_exit = true;
  statistics::Watch();
  CallBeforeAbort(OnMisuseAbort);
  memory::CallWhenExhausted(OnExhausted);
  return true;
}

bool SetFormat(const char* value) {
  as_json = IsWord(value, "json");
  return as_json || IsWord(value, "text");
}

void Expect() {
  if (!path.IsSet()) path.SetDescriptor(2);
  statistics::Watch();
}

void Write(const char* occasion) {
  const int descriptor = Open();
  if (descriptor < 0) return;
  {
    Output out(descriptor);
    as_json ? heap_report::WriteJson(&out, occasion)
            : heap_report::WriteText(&out, occasion);
  }
  path.Close(descriptor);
}

bool WasMisuse() { return CasRelaxed(&misuse, 1, 0); }

}  // namespace aomalloc::report_output
