// Signal-safe text on stderr, one line a message, one write(2) a line.
#ifndef AOMALLOC_CORE_REPORT_H_
#define AOMALLOC_CORE_REPORT_H_

#include <cstddef>
#include <cstdint>

namespace aomalloc {

// A line of bounded length, put together without stdio. What does not fit is
// cut off.
class Line {
 public:
  Line();
  Line& Text(const char* text);
  Line& Hex(uintptr_t value);
  Line& Decimal(size_t value);
  // "CALL(POINTER): "
  Line& Call(const char* call, const void* pointer);
  // Ends the line and writes it to stderr.
  void Write();

 private:
  static constexpr size_t kCapacity = 400;
  char buffer_[kCapacity];
  size_t length_ = 0;
};

// Says "aomalloc: CALL(POINTER): WHAT" and aborts.
[[noreturn]] void Fatal(const char* call, const void* pointer,
                        const char* what);

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_REPORT_H_
