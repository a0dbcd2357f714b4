// Signal-safe text of any length, written to a file descriptor. The buffer is
// small enough for the stack of a handler. After an error nothing more is
// written.
#ifndef AOMALLOC_CORE_BASE_OUTPUT_H_
#define AOMALLOC_CORE_BASE_OUTPUT_H_

#include <cstddef>

namespace aomalloc {

// The digits of a number, in a base from 2 to 16.
class Digits {
 public:
  explicit Digits(size_t value, unsigned base = 10) {
    *start_ = '\0';
    do {
      *--start_ = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
  }
  const char* text() const { return start_; }

 private:
  char digits_[3 * sizeof(size_t)];
  char* start_ = digits_ + sizeof(digits_) - 1;
};

class Output {
 public:
  explicit Output(int descriptor) : descriptor_(descriptor) {}
  ~Output() { Flush(); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  Output& Text(const char* text);
  Output& Decimal(size_t value) { return Text(Digits(value).text()); }

  // In a column of `width` characters. Wider text is not cut.
  Output& Left(const char* text, size_t width);
  Output& Right(const char* text, size_t width);
  Output& Number(size_t value, size_t width);  // "12,345"
  Output& Bytes(size_t bytes, size_t width);   // "12.3 MiB"
  // `part` of `whole` as "97.3 %", rounded down; "-" if `whole` is 0.
  Output& Percent(size_t part, size_t whole, size_t width);

  void Flush();

 private:
  void Put(char c);
  void Fill(size_t length, size_t width);

  static constexpr size_t kCapacity = 160;
  const int descriptor_;
  bool failed_ = false;
  size_t length_ = 0;
  char buffer_[kCapacity];
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_BASE_OUTPUT_H_
