// Reads the numbers of a record in DWARF's encodings (DWARF 5, 7.6). It never
// reads beyond the end of the record: a number that is missing reads as 0.
#ifndef AOMALLOC_CORE_PROFILE_BYTE_READER_H_
#define AOMALLOC_CORE_PROFILE_BYTE_READER_H_

#include <string.h>

#include <cstddef>
#include <cstdint>

namespace aomalloc {

class ByteReader {
 public:
  ByteReader(const uint8_t* at, const uint8_t* end) : at_(at), end_(end) {}

  bool AtEnd() const { return at_ == end_; }
  const uint8_t* at() const { return at_; }

  void Skip(uint64_t bytes) {
    const auto left = static_cast<uint64_t>(end_ - at_);
    at_ += bytes < left ? bytes : left;
  }

  // A reader of the next `bytes` only, which this reader skips.
  ByteReader Part(uint64_t bytes) {
    const uint8_t* start = at_;
    Skip(bytes);
    return {start, at_};
  }

  // A number of fixed length.
  template <typename T>
  T Fixed() {
    T value = 0;
    if (static_cast<size_t>(end_ - at_) >= sizeof(T)) {
      memcpy(&value, at_, sizeof(T));
    }
    Skip(sizeof(T));
    return value;
  }

  // Numbers of variable length: LEB128.
  uint64_t Unsigned() {
    int bits;
    return Digits(&bits);
  }
  int64_t Signed() {
    int bits;
    const uint64_t value = Digits(&bits);
    const bool negative = bits < 64 && (value >> (bits - 1) & 1) != 0;
    return static_cast<int64_t>(negative ? value | ~uint64_t{0} << bits
                                         : value);
  }

 private:
  uint64_t Digits(int* bits) {
    uint64_t value = 0;
    uint8_t byte;
    *bits = 0;
    do {
      byte = Fixed<uint8_t>();
      if (*bits < 64) value |= uint64_t{byte & 0x7fu} << *bits;
      *bits += 7;
    } while ((byte & 0x80) != 0);
    return value;
  }

  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_PROFILE_BYTE_READER_H_
