// The environment, read once, before any other constructor of the process: the
// library is linked with -z initfirst.
#include <stddef.h>
#include <sys/auxv.h>

#include "core/memory.h"
#include "core/report.h"

namespace {

constexpr const char kEnableMmap[] = "AO_MALLOC_ENABLE_MMAP";

char ToLower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool EqualsIgnoringCase(const char* a, const char* b) {
  while (*a != '\0' && ToLower(*a) == ToLower(*b)) ++a, ++b;
  return *a == '\0' && *b == '\0';
}

bool IsOneOf(const char* value, const char* const (&words)[4]) {
  for (const char* word : words) {
    if (EqualsIgnoringCase(value, word)) return true;
  }
  return false;
}

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

bool Enables(const char* value) {
  if (value == nullptr || *value == '\0') return false;
  if (IsOneOf(value, {"1", "true", "yes", "on"})) return true;
  if (!IsOneOf(value, {"0", "false", "no", "off"})) {
    aomalloc::Line()
        .Text(kEnableMmap)
        .Text("=")
        .Text(value)
        .Text(" is not one of 1, true, yes, on, 0, false, no, off; ignored")
        .Write();
  }
  return false;
}

// The dynamic loader passes main's arguments to constructors.
__attribute__((constructor)) void ReadEnvironment(int, char**,
                                                  char** environment) {
  // A program that runs with more rights than its caller takes no orders from
  // the caller's environment, and says nothing.
  if (getauxval(AT_SECURE) != 0) return;
  if (Enables(Find(environment, kEnableMmap))) {
    aomalloc::memory::EnableMmap();
  } else {
    aomalloc::memory::AnnounceExhaustion();
  }
}

}  // namespace
