// The environment, read once, before any other constructor of the process: the
// library is linked with -z initfirst.
#include <gnu/libc-version.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/memory.h"
#include "core/misuse.h"
#include "core/report.h"
#include "core/syscall.h"
#include "preload/interpose.h"
#include "preload/libc_heap.h"
#include "preload/profiles.h"
#include "preload/reports.h"
#include "preload/values.h"

// Only glibc has it.
#pragma weak gnu_get_libc_version

// Sanitizers that bring a malloc of their own have it: AddressSanitizer,
// ThreadSanitizer, LeakSanitizer.
extern "C" __attribute__((weak)) int __sanitizer_get_ownership(const void*);

namespace {

namespace memory = aomalloc::memory;
namespace profiles = aomalloc::profiles;
namespace reports = aomalloc::reports;
using aomalloc::preload::ParseBool;
using aomalloc::preload::ParseSize;

bool SetEnableMmap(const char* value) {
  bool enable;
  if (!ParseBool(value, &enable)) return false;
  if (enable) memory::EnableMmap();
  return true;
}

bool SetStaticHeap(const char* value) {
  size_t bytes;
  if (!ParseSize(value, memory::kStaticUnitBytes, sizeof(memory::static_heap),
                 &bytes)) {
    return false;
  }
  memory::SetStaticHeap(bytes);
  return true;
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

#define TEXT_OF_ARGUMENT(x) #x
#define TEXT_OF(macro) TEXT_OF_ARGUMENT(macro)

// One row for each variable. `set` is not called with an empty value, which
// counts as unset, and returns false for one that it does not understand.
struct Option {
  const char* name;
  bool (*set)(const char* value);
  const char* values;  // as an error message lists them
};
constexpr Option kOptions[] = {
    {"AO_MALLOC_ENABLE_MMAP", SetEnableMmap,
     "one of 1, true, yes, on, 0, false, no, off"},
    {"AO_MALLOC_STATIC_HEAP", SetStaticHeap,
     "a size from 4K to " TEXT_OF(AOMALLOC_STATIC_ARRAY_MIB) "M, such as 512K"},
    {"AO_MALLOC_LIMIT", SetLimit, "a size from 64K, such as 512M or 2G"},
    {"AO_MALLOC_STATS", reports::SetStats,
     "1, 0, or a path that is not too long"},
    {"AO_MALLOC_STATS_FORMAT", reports::SetFormat, "text or json"},
    {"AO_MALLOC_DUMP_SIGNAL", reports::SetDumpSignal,
     "a signal that can be handled, such as USR2"},
    {"AO_MALLOC_ON_ERROR", SetOnError, "one of abort, warn, ignore"},
    {"AO_MALLOC_PROFILE_RATE", profiles::SetRate,
     "a size from 1, such as 512K"},
    {"AO_MALLOC_PROFILE", profiles::SetProfile, "a path that is not too long"},
};

// The value of `name` in `environment`, or null. Not getenv: libc's own
// constructors may not have run yet.
const char* Find(char** environment, const char* name) {
  for (; *environment != nullptr; ++environment) {
    const char* entry = *environment;
    const char* rest = name;
    while (*rest != '\0' && *entry == *rest) ++entry, ++rest;
    if (*rest == '\0' && *entry == '=') return entry + 1;
  }
  return nullptr;
}

// A sanitizer without its malloc sees no error, or sees some that are none.
void RefuseBesideSanitizer() {
  if (__sanitizer_get_ownership == nullptr) return;
  if (!aomalloc::preload::MallocIsOurs()) return;
  aomalloc::Line()
      .Text("the program's sanitizer needs its own malloc: put its library ")
      .Text("(libasan.so, libtsan.so, liblsan.so) first in LD_PRELOAD")
      .Write();
  // Not _exit, which is the sanitizer's.
  aomalloc::os::Syscall(SYS_exit_group, 1);
}

// glibc's dynamic loader passes main's arguments to constructors; musl's does
// not, but has set `environ`, which glibc may not have by then.
__attribute__((constructor)) void ReadEnvironment(int, char**,
                                                  char** environment) {
  const bool is_glibc = gnu_get_libc_version != nullptr;
  if (is_glibc) aomalloc::preload::RecogniseLibcHeap();
  if (!is_glibc) environment = environ;
  // A program that runs with more rights than its caller takes no orders from
  // the caller's environment, and says nothing.
  if (getauxval(AT_SECURE) != 0) return;
  RefuseBesideSanitizer();
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
  if (!memory::MmapEnabled()) memory::AnnounceExhaustion();
}

}  // namespace
