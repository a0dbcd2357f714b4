#include "core/profile/frame_rules.h"

#include <string.h>

#include <cstddef>

#include "core/profile/byte_reader.h"
#include "core/profile/frame_program.h"
#include "core/profile/registers.h"

namespace aomalloc {
namespace {

// The encodings of pointers (Linux Standard Base, 10.5) that are supported.
constexpr uint8_t kUnsigned4 = 0x03;
constexpr uint8_t kSigned4 = 0x0b;
constexpr uint8_t kLengthBits = 0x07;
constexpr uint8_t kFromHere = 0x10;
constexpr uint8_t kFromTable = 0x30;

// A record of .eh_frame, without its length. Empty if its length has 64 bits.
ByteReader RecordAt(const uint8_t* at) {
  uint32_t length;
  memcpy(&length, at, sizeof(length));
  constexpr uint32_t kLongForm = 0xffffffff;  // a 64-bit length follows
  at += sizeof(length);
  return {at, length == kLongForm ? at : at + length};
}

// A common information entry: what several functions share.
struct Common {
  bool is_understood = false;
  bool has_data = false;  // data precedes the program of a function
  bool is_signal_frame = false;
  uint64_t code_unit = 0;
  int64_t data_unit = 0;
  ByteReader program{nullptr, nullptr};
};

Common ReadCommon(const uint8_t* at) {
  Common common;
  ByteReader in = RecordAt(at);
  in.Skip(sizeof(uint32_t));  // the mark of a common information entry
  const auto version = in.Fixed<uint8_t>();
  const uint8_t* letter = in.at();
  while (in.Fixed<uint8_t>() != 0) {
  }
  common.code_unit = in.Unsigned();
  common.data_unit = in.Signed();
  const uint64_t caller = version == 1 ? in.Fixed<uint8_t>() : in.Unsigned();
  uint8_t pointers = 0;
  if (*letter == 'z') {
    common.has_data = true;
    ByteReader data = in.Part(in.Unsigned());
    while (*++letter != 0) {
      if (*letter == 'S') common.is_signal_frame = true;
      if (*letter == 'R') pointers = data.Fixed<uint8_t>();
      if (*letter == 'L') data.Skip(1);
      if (*letter == 'P') {
        const bool is_4 =
            (data.Fixed<uint8_t>() & kLengthBits) == (kSigned4 & kLengthBits);
        data.Skip(is_4 ? 4 : 8);
      }
    }
  }
  common.program = in;
  common.is_understood =
      caller == kReturnRegister && pointers == (kFromHere | kSigned4);
  return common;
}

// An entry of the table in .eh_frame_hdr, which is sorted by the address of the
// function. Both fields are relative to the header.
struct Entry {
  int32_t start;
  int32_t record;
};

// The number of entries that begin at or before `target`.
size_t CountUpTo(int64_t target, const Entry* table, size_t count) {
  size_t low = 0;
  size_t high = count;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (table[middle].start <= target) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace

bool FindFrameRules(const void* eh_frame_hdr, uintptr_t pc, FrameRules* rules) {
  const auto* header = static_cast<const uint8_t*>(eh_frame_hdr);
  if (header[0] != 1 || header[1] != (kFromHere | kSigned4) ||
      header[2] != kUnsigned4 || header[3] != (kFromTable | kSigned4)) {
    return false;
  }
  uint32_t count;
  memcpy(&count, header + 8, sizeof(count));
  const auto* table = reinterpret_cast<const Entry*>(header + 12);
  const auto target =
      static_cast<int64_t>(pc - reinterpret_cast<uintptr_t>(header));
  const size_t found = CountUpTo(target, table, count);
  if (found == 0) return false;

  ByteReader in = RecordAt(header + table[found - 1].record);
  const uint8_t* here = in.at();
  const Common common = ReadCommon(here - in.Fixed<uint32_t>());
  if (!common.is_understood) return false;
  here = in.at();
  const auto start = reinterpret_cast<uintptr_t>(here) +
                     static_cast<uintptr_t>(intptr_t{in.Fixed<int32_t>()});
  const uintptr_t distance = pc - start;
  if (distance >= in.Fixed<uint32_t>()) return false;
  if (common.has_data) in.Skip(in.Unsigned());

  *rules = FrameRules();
  rules->is_signal_frame = common.is_signal_frame;
  FrameProgram program(common.code_unit, common.data_unit, rules);
  return program.Run(common.program, ~uint64_t{0}) && program.Run(in, distance);
}

}  // namespace aomalloc
