#include "core/base/line.h"

#include "core/base/os.h"
#include "core/base/output.h"

namespace aomalloc {

Line::Line() { Text("aomalloc: "); }

Line& Line::Text(const char* text) {
  while (*text != '\0' && length_ < kCapacity - 1) buffer_[length_++] = *text++;
  return *this;
}

Line& Line::Hex(uintptr_t value) {
  return Text("0x").Text(Digits(value, 16).text());
}

Line& Line::Decimal(size_t value) { return Text(Digits(value).text()); }

void Line::Write() {
  if (os::IsSecure()) return;
  buffer_[length_++] = '\n';
  os::WriteError(buffer_, length_);
}

Line& Line::Call(const char* call, const void* pointer) {
  return Text(call)
      .Text("(")
      .Hex(reinterpret_cast<uintptr_t>(pointer))
      .Text("): ");
}

void Fatal(const char* call, const void* pointer, const char* what) {
  Line().Call(call, pointer).Text(what).Write();
  os::Abort();
}

}  // namespace aomalloc
