// Paths of files that the library writes.
#ifndef AOMALLOC_PRELOAD_PATH_H_
#define AOMALLOC_PRELOAD_PATH_H_

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "core/os.h"
#include "core/output.h"

namespace aomalloc::preload {

// A path in which "%p" stands for the process id. Set before the program
// starts, and a copy: programs that show a title of their own in ps overwrite
// their environment.
class Path {
 public:
  static constexpr size_t kMax = 512;  // with what ends it

  // False if it is too long.
  bool Set(const char* path) {
    const size_t length = strlen(path);
    if (length >= kMax) return false;
    memcpy(text_, path, length + 1);
    return true;
  }

  bool IsEmpty() const { return text_[0] == '\0'; }
  const char* text() const { return text_; }

  // What `open` makes of it; with a number other than 0 behind it: ".1". It is
  // an error if it has become too long.
  int Open(int (*open)(const char* path), size_t number = 0) const {
    char expanded[kMax];
    size_t length = 0;
    const auto put = [&](char c) {
      if (length < kMax) expanded[length++] = c;
    };
    const auto put_digits = [&](size_t value) {
      const Digits digits(value);
      for (const char* c = digits.text(); *c != '\0'; ++c) put(*c);
    };
    for (const char* from = text_; *from != '\0'; ++from) {
      if (from[0] == '%' && from[1] == 'p') {
        ++from;
        put_digits(os::ProcessId());
      } else {
        put(*from);
      }
    }
    if (number != 0) {
      put('.');
      put_digits(number);
    }
    put('\0');
    return expanded[length - 1] == '\0' ? open(expanded) : -ENAMETOOLONG;
  }

 private:
  char text_[kMax] = {};
};

}  // namespace aomalloc::preload

#endif  // AOMALLOC_PRELOAD_PATH_H_
