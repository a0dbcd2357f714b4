// Where the library writes: to files, and to descriptors that the program was
// started with.
#ifndef AOMALLOC_PRELOAD_PATH_H_
#define AOMALLOC_PRELOAD_PATH_H_

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <initializer_list>

#include "core/base/line.h"
#include "core/base/os.h"
#include "core/base/output.h"

namespace aomalloc::preload {

// A descriptor that the program was started with, and the file that it led to
// then. A program may close its descriptors before the report at exit, or use
// their numbers for other files.
class Inherited {
 public:
  // To be called before the program starts.
  void Set(int number) {
    number_ = number;
    second_ = os::Duplicate(number);
    file_ = os::FileOf(number);
  }

  bool IsStandardError() const { return number_ == 2; }

  // A descriptor that still leads to that file, or -EBADF if there is none. The
  // caller must not close it.
  int Find() const {
    if (file_ == os::FileId()) return -EBADF;  // was not open
    for (const int descriptor : {second_, number_}) {
      if (os::FileOf(descriptor) == file_) return descriptor;
    }
    // Standard error is where messages belong, whatever file it is now.
    return IsStandardError() ? 2 : -EBADF;
  }

 private:
  int number_ = -1;
  int second_ = -1;
  os::FileId file_;
};

// A path in which "%p" stands for the process id. It may also name a
// descriptor: /dev/stderr, /dev/stdout, /dev/fd/N or /proc/self/fd/N. These are
// symbolic links, which are not followed in other paths.
//
// It is set before the program starts. It is a copy, because a program that
// sets its own title for ps overwrites its environment.
class Path {
 public:
  static constexpr size_t kMax = 512;  // with the zero at its end

  // False if `path` is too long; then nothing is changed.
  bool Set(const char* path) {
    const size_t length = strlen(path);
    if (length >= kMax) return false;
    memcpy(text_, path, length + 1);
    const int number = DescriptorOf(path);
    if (number >= 0) SetDescriptor(number);
    return true;
  }

  // Makes the path this descriptor.
  void SetDescriptor(int number) {
    inherited_.Set(number);
    is_descriptor_ = true;
  }

  bool IsSet() const { return is_descriptor_ || text_[0] != '\0'; }

  // Opens the path with `open`; if `number` is not 0, with "." and the number
  // behind it. Returns the descriptor. If there is nothing to write to, returns
  // -errno, after a line on stderr that names `variable`, whose value the path
  // is. (There is no line if the path was standard error.) -ENAMETOOLONG if the
  // path has become too long. Signal-safe.
  int Open(const char* variable, int (*open)(const char* path),
           size_t number = 0) const {
    const int descriptor =
        is_descriptor_ ? inherited_.Find() : OpenFile(open, number);
    // If the path was standard error, its number may lead to any file by now.
    if (descriptor < 0 && !inherited_.IsStandardError()) {
      Line line;
      line.Text(variable).Text("=").Text(text_).Text(": cannot be opened");
      Explain(&line, -descriptor);
      line.Write();
    }
    return descriptor;
  }

  // Closes what Open has returned, unless the program owns it.
  void Close(int descriptor) const {
    if (!is_descriptor_) os::Close(descriptor);
  }

 private:
  // The number in "/dev/fd/63" and the like; -1 if `path` names no descriptor.
  static int DescriptorOf(const char* path) {
    if (strcmp(path, "/dev/stdout") == 0) return 1;
    if (strcmp(path, "/dev/stderr") == 0) return 2;
    for (const char* folder : {"/dev/fd/", "/proc/self/fd/"}) {
      const size_t length = strlen(folder);
      if (strncmp(path, folder, length) != 0) continue;
      const char* digit = path + length;
      int number = *digit == '\0' ? -1 : 0;
      for (; *digit != '\0'; ++digit) {
        if (*digit < '0' || *digit > '9' || number > 1 << 24) return -1;
        number = number * 10 + (*digit - '0');
      }
      return number;
    }
    return -1;
  }

  int OpenFile(int (*open)(const char* path), size_t number) const {
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

  static void Explain(Line* line, int error) {
    switch (error) {
      case ELOOP:
      case EMLINK:
        line->Text(": it is a link");
        break;
      case ENXIO:
        line->Text(": nobody reads it");
        break;
      default:
        line->Text(" (error ").Decimal(static_cast<size_t>(error)).Text(")");
    }
  }

  char text_[kMax] = {};
  bool is_descriptor_ = false;
  Inherited inherited_;
};

}  // namespace aomalloc::preload

#endif  // AOMALLOC_PRELOAD_PATH_H_
