// The variables of the environment. They are read once, before any other
// constructor of the process: the library is linked with -z initfirst.
#include <gnu/libc-version.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/arena/huge_pages.h"
#include "core/arena/memory.h"
#include "core/base/line.h"
#include "core/base/os.h"
#include "core/base/os_memory.h"
#include "core/base/syscall.h"
#include "core/heap/misuse.h"
#include "core/report/heap_report.h"
#include "core/thread/registry.h"
#include "preload/dlopen.h"
#include "preload/dump_signals.h"
#include "preload/interpose.h"
#include "preload/libc_heap.h"
#include "preload/profile_output.h"
#include "preload/report_output.h"
#include "preload/values.h"

// Only glibc has this function.
#pragma weak gnu_get_libc_version

// Defined by sanitizers that bring their own malloc: AddressSanitizer,
// ThreadSanitizer, LeakSanitizer.
extern "C" __attribute__((weak)) int __sanitizer_get_ownership(const void*);

namespace {

namespace memory = aomalloc::memory;
namespace profile_output = aomalloc::profile_output;
namespace report_output = aomalloc::report_output;
using aomalloc::preload::ParseBool;
using aomalloc::preload::ParseSize;

// Calls `kAct` if the value says yes.
template <void (*kAct)()>
bool SetBool(const char* value) {
  bool yes;
  if (!ParseBool(value, &yes)) return false;
  if (yes) kAct();
  return true;
}

bool static_heap_is_set = false;

bool SetStaticHeap(const char* value) {
  size_t bytes;
  static_heap_is_set = ParseSize(value, memory::kStaticUnitBytes,
                                 memory::kPrimaryBytes, &bytes) &&
                       memory::SetStaticHeap(bytes);
  return static_heap_is_set;
}

// Without mmap, what is not set is 2 MiB.
void EnsureStaticHeap() {
  constexpr size_t kBytes = AOMALLOC_STATIC_HEAP_BYTES;
  if (static_heap_is_set || memory::SetStaticHeap(kBytes)) return;
  aomalloc::Line()
      .Text("the system refuses the static heap of ")
      .Decimal(kBytes)
      .Text(" bytes; it has ")
      .Decimal(memory::StaticHeapBytes())
      .Text(" bytes")
      .Write();
}

bool SetLimit(const char* value) {
  size_t bytes;
  if (!ParseSize(value, memory::kMappedUnitBytes, SIZE_MAX, &bytes)) {
    return false;
  }
  memory::SetLimit(bytes);
  return true;
}

bool SetOnError(const char* value) {
  using aomalloc::OnMisuse;
  OnMisuse choice = OnMisuse::kAbort;
  if (aomalloc::preload::IsWord(value, "warn")) {
    choice = OnMisuse::kWarn;
  } else if (aomalloc::preload::IsWord(value, "ignore")) {
    choice = OnMisuse::kIgnore;
  } else if (!aomalloc::preload::IsWord(value, "abort")) {
    return false;
  }
  aomalloc::SetOnMisuse(choice);
  return true;
}

bool SetHugePages(const char* value) {
  using aomalloc::HugePages;
  HugePages::Choice choice = HugePages::Choice::kAuto;
  if (aomalloc::preload::IsWord(value, "never")) {
    choice = HugePages::Choice::kNever;
  } else if (aomalloc::preload::IsWord(value, "always")) {
    choice = HugePages::Choice::kAlways;
  } else if (!aomalloc::preload::IsWord(value, "auto")) {
    return false;
  }
  HugePages::Choose(choice);
  return true;
}

constexpr char kBools[] = "one of 1, true, yes, on, 0, false, no, off";

// One row for each variable. `set` gets a value that is not empty; an empty one
// counts as unset. It returns false for an invalid value.
//
// The order of the rows matters: they are read from first to last, and some
// need the effect of others.
//
//   AO_MALLOC_NAME_MAPPINGS, AO_MALLOC_HUGE_PAGES  come before there is a
//                          mapping
//   AO_MALLOC_DUMP_SIGNAL  chooses stderr unless AO_MALLOC_STATS has set a path
//   AO_MALLOC_PROFILE      starts with the rate of AO_MALLOC_PROFILE_RATE, and
//                          only if AO_MALLOC_ENABLE_MMAP has enabled mmap
struct Option {
  const char* name;
  bool (*set)(const char* value);
  const char* values;  // for the message about an invalid value
};
constexpr Option kOptions[] = {
    {"AO_MALLOC_NAME_MAPPINGS", SetBool<aomalloc::os::NameMappings>, kBools},
    {"AO_MALLOC_HUGE_PAGES", SetHugePages, "one of auto, never, always"},
    {"AO_MALLOC_ENABLE_MMAP", SetBool<memory::EnableMmap>, kBools},
    {"AO_MALLOC_STATIC_HEAP", SetStaticHeap,
     "a size from 4K that the system grants, such as 512K"},
    {"AO_MALLOC_LIMIT", SetLimit, "a size from 64K, such as 512M or 2G"},
    {"AO_MALLOC_STATS", report_output::SetStats,
     "1, 0, or a path that is not too long"},
    {"AO_MALLOC_STATS_FORMAT", report_output::SetFormat, "text or json"},
    {"AO_MALLOC_DUMP_SIGNAL", aomalloc::dump_signals::Set,
     "signals that can be handled, such as USR2 or SEGV,ABRT"},
    {"AO_MALLOC_ON_ERROR", SetOnError, "one of abort, warn, ignore"},
    {"AO_MALLOC_KEEP_DEEPBIND", SetBool<aomalloc::preload::KeepDeepbind>,
     kBools},
    {"AO_MALLOC_PROFILE_RATE", profile_output::SetRate,
     "a size from 1, such as 512K"},
    {"AO_MALLOC_PROFILE", profile_output::SetProfile,
     "a path that is not too long"},
};

// The value of `name` in `environment`, or null. Not getenv: the constructors
// of libc may not have run yet.
const char* Find(char** environment, const char* name) {
  for (; *environment != nullptr; ++environment) {
    const char* entry = *environment;
    const char* rest = name;
    while (*rest != '\0' && *entry == *rest) ++entry, ++rest;
    if (*rest == '\0' && *entry == '=') return entry + 1;
  }
  return nullptr;
}

// A sanitizer whose malloc is not used finds no errors, or reports false ones.
// So this reports that, and ends the process with status 1.
void RefuseBesideSanitizer() {
  if (__sanitizer_get_ownership == nullptr) return;
  if (!aomalloc::preload::MallocIsOurs()) return;
  aomalloc::Line()
      .Text("the program's sanitizer needs its own malloc: put its library ")
      .Text("(libasan.so, libtsan.so, liblsan.so) first in LD_PRELOAD")
      .Write();
  // Not by _exit, which the sanitizer intercepts.
  aomalloc::os::Syscall(SYS_exit_group, 1);
}

void ReadOptions(char** environment) {
  for (const Option& option : kOptions) {
    const char* value = Find(environment, option.name);
    if (value == nullptr || *value == '\0' || option.set(value)) continue;
    aomalloc::Line()
        .Text(option.name)
        .Text("=")
        .Text(value)
        .Text(" is not ")
        .Text(option.values)
        .Text("; ignored")
        .Write();
  }
}

// glibc's dynamic loader passes main's arguments to constructors. musl's does
// not, but it has set `environ` by then, which glibc may not have.
__attribute__((constructor)) void ReadEnvironment(int, char** arguments,
                                                  char** environment) {
  aomalloc::preload::DirectOperators();
  const bool is_glibc = gnu_get_libc_version != nullptr;
  if (is_glibc) {
    aomalloc::preload::RecogniseLibcHeap();
    if (arguments[0] != nullptr) {
      aomalloc::heap_report::SetProgram(arguments[0]);
    }
  }
  if (!is_glibc) environment = environ;
  // A process that has more rights than its caller must not obey the caller's
  // environment. (Line writes nothing there, either.)
  if (!aomalloc::os::IsSecure()) {
    RefuseBesideSanitizer();
    ReadOptions(environment);
  }
  if (memory::MmapEnabled()) return;
  EnsureStaticHeap();
  aomalloc::thread::MapHeaps();
  memory::AnnounceExhaustion();
}

}  // namespace
