// Pointers that no allocator has ever returned, of all kinds.
#ifndef AOMALLOC_TEST_POINTERS_H_
#define AOMALLOC_TEST_POINTERS_H_

#include <cstdint>
#include <initializer_list>

#include "test/testing.h"

namespace aomalloc {

// Calls f with each: every power of 2 and what is near to it, so the first and
// the last addresses too; sums of two powers; and some at random of those that
// no program can have memory at. On x86-64 such are not even addresses.
template <typename F>
void ForEachWildPointer(F f) {
  const auto call = [&f](uintptr_t value) {
    if (value != 0) f(reinterpret_cast<void*>(value));
  };
  for (int bit = 0; bit < 64; ++bit) {
    const uintptr_t power = uintptr_t{1} << bit;
    for (uintptr_t distance : {0, 1, 8, 15, 16, 17, 4096, 65536}) {
      call(power + distance);
      call(power - distance);
    }
    for (int other = 4; other < bit; other += 7) {
      call(power | uintptr_t{1} << other);
      call(-power - (uintptr_t{1} << other));
    }
  }
  Random random(5);
  for (int i = 0; i < 200; ++i) call(random.Next() | uintptr_t{1} << 55);
}

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_POINTERS_H_
