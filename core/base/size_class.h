// Size classes: how many bytes a block has for a request.
//
// The classes are the multiples of 16 up to 128, and eight for each doubling up
// to kMaxSmall: from 128*2^k the step is 16*2^k. So a block wastes at most 15
// bytes up to 128, and less than one eighth above.
#ifndef AOMALLOC_CORE_BASE_SIZE_CLASS_H_
#define AOMALLOC_CORE_BASE_SIZE_CLASS_H_

#include <cstddef>
#include <cstdint>

namespace aomalloc {

using SizeClass = uint8_t;

constexpr size_t kGranule = 16;  // alignment of max_align_t and of any block
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
  // The index is the request in granules, rounded up.
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

// The lender of a class: the class of the next power of two. Its blocks serve
// the first few requests of a class that has no slab; otherwise a program that
// wants a few blocks of each class would take a page for each. A class beyond
// kMaxBorrower is its own lender: few of its blocks share a page.
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

// The lowest multiple of `to`, a power of two, that is `value` or more. It
// wraps around.
constexpr size_t RoundUp(size_t value, size_t to) {
  return (value + to - 1) & ~(to - 1);
}

// The size to request instead of `size` bytes, so that all blocks of its class
// are aligned to `alignment` (a power of two) if the first is. Both sizes are
// at most kMaxSmall. A multiple of the alignment is enough: either the steps
// between the classes there are multiples of the alignment too, or the multiple
// is the size of a class.
constexpr size_t AlignedSize(size_t size, size_t alignment) {
  const size_t rounded = RoundUp(size, alignment);
  return rounded != 0 ? rounded : alignment;
}

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_BASE_SIZE_CLASS_H_
