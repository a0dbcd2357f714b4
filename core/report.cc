#include "core/report.h"

#include "core/os.h"

namespace aomalloc {

Line::Line() { Text("aomalloc: "); }

Line& Line::Text(const char* text) {
  while (*text != '\0' && length_ < kCapacity - 1) buffer_[length_++] = *text++;
  return *this;
}

Line& Line::Hex(uintptr_t value) {
  char digits[2 * sizeof(value) + 3];
  char* start = digits + sizeof(digits);
  *--start = '\0';
  do {
    *--start = "0123456789abcdef"[value % 16];
    value /= 16;
  } while (value != 0);
  return Text("0x").Text(start);
}

Line& Line::Decimal(size_t value) {
  char digits[3 * sizeof(value) + 1];
  char* start = digits + sizeof(digits);
  *--start = '\0';
  do {
    *--start = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return Text(start);
}

void Line::Write() {
  buffer_[length_++] = '\n';
  os::WriteError(buffer_, length_);
}

void Misuse(const char* call, const void* pointer, const char* what) {
  Line()
      .Text(call)
      .Text("(")
      .Hex(reinterpret_cast<uintptr_t>(pointer))
      .Text("): ")
      .Text(what)
      .Write();
  os::Abort();
}

}  // namespace aomalloc
