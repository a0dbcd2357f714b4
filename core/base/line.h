// Signal-safe messages on stderr: one line a message, one write(2) a line
// unless the kernel takes less at a time. A process that has more rights than
// its caller (AT_SECURE) writes nothing: the caller may read its stderr, and
// would learn its addresses.
#ifndef AOMALLOC_CORE_BASE_LINE_H_
#define AOMALLOC_CORE_BASE_LINE_H_

#include <cstddef>
#include <cstdint>

namespace aomalloc {

// A line of bounded length, composed without stdio. What does not fit is cut
// off.
class Line {
 public:
  Line();
  Line& Text(const char* text);
  Line& Hex(uintptr_t value);
  Line& Decimal(size_t value);
  // Appends "CALL(POINTER): ".
  Line& Call(const char* call, const void* pointer);
  // Ends the line and writes it to stderr. To be called once.
  void Write();

 private:
  static constexpr size_t kCapacity = 400;
  char buffer_[kCapacity];
  size_t length_ = 0;
};

// Writes "aomalloc: CALL(POINTER): WHAT" and aborts.
[[noreturn]] void Fatal(const char* call, const void* pointer,
                        const char* what);

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_BASE_LINE_H_
