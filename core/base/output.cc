#include "core/base/output.h"

#include "core/base/os.h"

namespace aomalloc {
namespace {

size_t Length(const char* text) {
  size_t length = 0;
  while (text[length] != '\0') ++length;
  return length;
}

}  // namespace

void Output::Flush() {
  failed_ = failed_ || !os::Write(descriptor_, buffer_, length_);
  length_ = 0;
}

void Output::Put(char c) {
  if (length_ == kCapacity) Flush();
  buffer_[length_++] = c;
}

void Output::Fill(size_t length, size_t width) {
  for (; length < width; ++length) Put(' ');
}

Output& Output::Text(const char* text) {
  while (*text != '\0') Put(*text++);
  return *this;
}

Output& Output::Left(const char* text, size_t width) {
  Text(text);
  Fill(Length(text), width);
  return *this;
}

Output& Output::Right(const char* text, size_t width) {
  Fill(Length(text), width);
  return Text(text);
}

Output& Output::Number(size_t value, size_t width) {
  const Digits digits(value);
  const size_t length = Length(digits.text());
  Fill(length + (length - 1) / 3, width);
  for (size_t i = 0; i < length; ++i) {
    if (i > 0 && (length - i) % 3 == 0) Put(',');
    Put(digits.text()[i]);
  }
  return *this;
}

Output& Output::Bytes(size_t bytes, size_t width) {
  constexpr const char* kUnits[] = {" B  ", " KiB", " MiB", " GiB", " TiB"};
  size_t unit = 0;
  size_t tenths = 0;
  while (bytes >= 1024 && unit < 4) {
    tenths = bytes % 1024 * 10 / 1024;
    bytes /= 1024;
    ++unit;
  }
  const Digits digits(bytes);
  const size_t fraction = unit > 0 ? 2 : 0;
  Fill(Length(digits.text()) + fraction + 4, width);
  Text(digits.text());
  if (fraction > 0) Text(".").Decimal(tenths);
  return Text(kUnits[unit]);
}

Output& Output::Percent(size_t part, size_t whole, size_t width) {
  if (whole == 0) return Right("-", width);
  const size_t tenths = part * 1000 / whole;
  const Digits digits(tenths / 10);
  Fill(Length(digits.text()) + 4, width);
  return Text(digits.text()).Text(".").Decimal(tenths % 10).Text(" %");
}

}  // namespace aomalloc
