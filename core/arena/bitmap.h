// Bitmaps that any number of threads mark at the same time, a run of bits each.
//
// Mark commits with the compare-and-swap that sets the bits of the run's last
// word, Clear with the one that clears its bits. A run that spans several words
// is marked word by word, upwards, and cleared again if a later word turns out
// taken. Stopped in the middle, a thread keeps the bits that it has marked so
// far and nothing else, and nobody waits for it. Marking upwards makes it
// lock-free: of several threads that get in one another's way, the one that
// holds the highest bit is not stopped by the others.
#ifndef AOMALLOC_CORE_ARENA_BITMAP_H_
#define AOMALLOC_CORE_ARENA_BITMAP_H_

#include <cstddef>

#include "core/base/atomics.h"

namespace aomalloc {

class Bitmap {
 public:
  static constexpr size_t kWordBits = 64;

  constexpr explicit Bitmap(AtomicWord* words) : words_(words) {}

  // The bits of word `word` that belong to [start, end).
  static AO_t MaskIn(size_t word, size_t start, size_t end) {
    const size_t first = word * kWordBits;
    AO_t mask = ~AO_t{0};
    if (start > first) mask &= ~AO_t{0} << (start - first);
    if (end < first + kWordBits) mask &= ~(~AO_t{0} << (end - first));
    return mask;
  }

  // The words that [0, end) takes.
  static size_t WordsUpTo(size_t end) {
    return (end + kWordBits - 1) / kWordBits;
  }

  // The number of zeros below the lowest one; kWordBits if there is no one.
  static size_t CountTrailingZeros(AO_t bits) {
    return bits == 0 ? kWordBits : static_cast<size_t>(__builtin_ctzl(bits));
  }
  // The number of zeros above the highest one; likewise.
  static size_t CountLeadingZeros(AO_t bits) {
    return bits == 0 ? kWordBits : static_cast<size_t>(__builtin_clzl(bits));
  }
  // The number of ones.
  static size_t PopCount(AO_t bits) {
    return static_cast<size_t>(__builtin_popcountl(bits));
  }

  AtomicWord* word(size_t index) const { return &words_[index]; }

  // Acquire: what was done before a bit was set comes before what we do.
  bool IsSet(size_t bit) const {
    return (LoadAcquire(word(bit / kWordBits)) >> (bit % kWordBits)) & 1;
  }

  // The first bit in [from, end) that is set, or clear; `end` if there is none.
  size_t NextSet(size_t from, size_t end) const {
    return Next(from, end, /*flip=*/0);
  }
  size_t NextClear(size_t from, size_t end) const {
    return Next(from, end, /*flip=*/~AO_t{0});
  }

  // Sets the bits [start, start + count) if none of them is set; else sets
  // none.
  bool Mark(size_t start, size_t count) {
    const size_t end = MarkUpTo(start, count);
    if (end == start + count) return true;
    Clear(start, end - start);
    return false;
  }

  // Sets the bits from `start` on up to the first word in which one of [start,
  // start + count) is set. The bits below what it returns are set.
  size_t MarkUpTo(size_t start, size_t count) {
    const size_t end = start + count;
    for (size_t at = start / kWordBits; at < WordsUpTo(end); ++at) {
      const AO_t mask = MaskIn(at, start, end);
      AO_t old;
      do {
        old = LoadRelaxed(word(at));
        if ((old & mask) != 0) {
          return at * kWordBits > start ? at * kWordBits : start;
        }
        // Acquire: pairs with the release in Clear. What the last owner did
        // comes before what we do.
      } while (!CasAcquire(word(at), old, old | mask));
    }
    return end;
  }

  // Sets bits that nobody else sets or clears meanwhile. Release: what we did
  // there comes before what those do that see them.
  void Set(size_t start, size_t count) {
    const size_t end = start + count;
    for (size_t at = start / kWordBits; at < WordsUpTo(end); ++at) {
      SetBitsRelease(word(at), MaskIn(at, start, end));
    }
  }

  // Release: what we did there comes before what the next owner does.
  void Clear(size_t start, size_t count) {
    const size_t end = start + count;
    for (size_t at = start / kWordBits; at < WordsUpTo(end); ++at) {
      ClearBitsRelease(word(at), MaskIn(at, start, end));
    }
  }

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  size_t Next(size_t from, size_t end, AO_t flip) const {
    for (size_t at = from / kWordBits; at < WordsUpTo(end); ++at) {
      const AO_t bits = (LoadRelaxed(word(at)) ^ flip) & MaskIn(at, from, end);
      if (bits != 0) return at * kWordBits + CountTrailingZeros(bits);
    }
    return end;
  }

  AtomicWord* const words_;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_ARENA_BITMAP_H_
