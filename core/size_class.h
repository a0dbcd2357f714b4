// Sizes and size classes: how many bytes a block has for a request.
//
// Classes are multiples of 16 up to 128, then eight to a doubling up to
// kMaxSmall. So a block wastes at most 15 bytes up to 128 and less than one
// part in eight above: the step from 128*2^k is 16*2^k.
#ifndef AOMALLOC_CORE_SIZE_CLASS_H_
#define AOMALLOC_CORE_SIZE_CLASS_H_

#include <cstddef>
#include <cstdint>

namespace aomalloc {

using SizeClass = uint8_t;

constexpr size_t kGranule = 16;  // alignof(max_align_t) and every block's
constexpr size_t kMaxSmall = size_t{32} << 10;
constexpr int kLinearClasses = 8;  // 16, 32, ..., 128
constexpr int kClassesPerDouble = 8;
constexpr int kDoublings = 8;  // 128 .. 32768
constexpr int kNumClasses = kLinearClasses + kClassesPerDouble * kDoublings;

// Bytes in a block of class `size_class`.
constexpr size_t ClassSize(int size_class) {
  if (size_class < kLinearClasses) {
    return kGranule * (static_cast<size_t>(size_class) + 1);
  }
  const int above = size_class - kLinearClasses;
  const int doubling = above / kClassesPerDouble;
  const size_t step = kGranule << doubling;
  return (size_t{128} << doubling) +
         step * (static_cast<size_t>(above % kClassesPerDouble) + 1);
}
static_assert(ClassSize(kNumClasses - 1) == kMaxSmall);

namespace internal {

struct ClassTable {
  // Indexed by the request in granules, rounded up.
  SizeClass of_granules[kMaxSmall / kGranule + 1];
};

constexpr ClassTable MakeClassTable() {
  ClassTable table{};
  int size_class = 0;
  for (size_t i = 0; i <= kMaxSmall / kGranule; ++i) {
    if (i * kGranule > ClassSize(size_class)) ++size_class;
    table.of_granules[i] = static_cast<SizeClass>(size_class);
  }
  return table;
}

inline constexpr ClassTable kClassTable = MakeClassTable();

}  // namespace internal

// The class that serves a request of `size` bytes; size <= kMaxSmall.
constexpr SizeClass ClassOf(size_t size) {
  return internal::kClassTable.of_granules[(size + kGranule - 1) / kGranule];
}

// The class of the next power of two: it lends blocks to classes of which only
// a few are wanted, which would otherwise take a page each. Larger classes lend
// to nobody but themselves: their blocks share no pages to speak of.
constexpr size_t kMaxBorrower = 2048;
constexpr SizeClass LenderOf(SizeClass size_class) {
  const size_t size = ClassSize(size_class);
  if (size > kMaxBorrower) return size_class;
  size_t lender = kGranule;
  while (lender < size) lender *= 2;
  return ClassOf(lender);
}

constexpr bool IsPowerOfTwo(size_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

// What to ask for instead of `size` bytes, both at most kMaxSmall, to get a
// class whose blocks are all aligned to `alignment` (a power of two) when the
// first is. A multiple of the alignment does: either the steps between classes
// there are multiples of it too, or it is a class itself.
constexpr size_t AlignedSize(size_t size, size_t alignment) {
  const size_t rounded = (size + alignment - 1) & ~(alignment - 1);
  return rounded != 0 ? rounded : alignment;
}

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_SIZE_CLASS_H_
