// Parsing the values of environment variables.
#ifndef AOMALLOC_PRELOAD_VALUES_H_
#define AOMALLOC_PRELOAD_VALUES_H_

#include <stddef.h>
#include <stdint.h>

namespace aomalloc::preload {

inline char ToLower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// True if `value` is `word`, which is in lower case. Upper and lower case count
// as equal.
inline bool IsWord(const char* value, const char* word) {
  while (*value != '\0' && ToLower(*value) == *word) ++value, ++word;
  return *value == '\0' && *word == '\0';
}

// True for 1, true, yes, on and 0, false, no, off; `*result` is which. False
// for anything else.
inline bool ParseBool(const char* value, bool* result) {
  constexpr const char* kWords[] = {"0",  "1",   "false", "true",
                                    "no", "yes", "off",   "on"};
  for (int i = 0; i < 8; ++i) {
    if (!IsWord(value, kWords[i])) continue;
    *result = i % 2 == 1;
    return true;
  }
  return false;
}

// A size in bytes: digits, and then nothing or one of K, M, G, T (powers of
// 1024). False for anything else, and for a size that is not in [least, most].
// Then `*result` is as it was.
inline bool ParseSize(const char* value, size_t least, size_t most,
                      size_t* result) {
  size_t bytes = 0;
  const char* c = value;
  for (; *c >= '0' && *c <= '9'; ++c) {
    if (__builtin_mul_overflow(bytes, size_t{10}, &bytes) ||
        __builtin_add_overflow(bytes, static_cast<size_t>(*c - '0'), &bytes)) {
      return false;
    }
  }
  if (c == value) return false;
  if (*c != '\0') {
    constexpr char kUnits[] = "kmgt";
    int shift = 10;
    for (const char* unit = kUnits; *unit != ToLower(*c); ++unit) {
      if (*unit == '\0') return false;
      shift += 10;
    }
    if (bytes > SIZE_MAX >> shift) return false;
    bytes <<= shift;
    ++c;
  }
  if (*c != '\0' || bytes < least || bytes > most) return false;
  *result = bytes;
  return true;
}

}  // namespace aomalloc::preload

#endif  // AOMALLOC_PRELOAD_VALUES_H_
