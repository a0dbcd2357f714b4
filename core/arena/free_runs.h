// The search for free units, by the bits of an arena and by hints
// (free_hints.h). It is first fit: the lowest run is found, so that an arena
// stays compact.
//
// Who touches what: any thread and handler may call anything at any time. A
// search only guesses, as the bits change under it: what it finds has to be
// marked. When nobody else is at work, it finds a run if there is one.
//
// Cost: a search looks at the hint of each group of 4,096 units, and at the 64
// words of bits of a group whose hint does not exclude it. If that was in vain,
// it lowers the hint. A hint that is raised costs one look more at its group.
// What no hint excludes is looked at each time: a group with a run of 64 units
// if more are wanted, or if they have to be aligned by more.
#ifndef AOMALLOC_CORE_ARENA_FREE_RUNS_H_
#define AOMALLOC_CORE_ARENA_FREE_RUNS_H_

#include "core/arena/bitmap.h"
#include "core/arena/free_hints.h"
#include "core/arena/growth.h"
#include "core/base/atomics.h"

namespace aomalloc {

class FreeRuns {
 public:
  static constexpr size_t kNone = ~size_t{0};

  // Of the arena at `base`: `used` has its bits, and `hints` are the
  // words of its hints. Units from `*end` on cannot be accessed, nor those of
  // chunks that are not mapped, if there is a `growth`.
  constexpr FreeRuns(const char* base, int unit_shift, const AtomicWord* used,
                     AtomicWord* hints, const AtomicWord* end,
                     const Growth* growth)
      : base_(base),
        unit_shift_(unit_shift),
        used_(used),
        hints_(hints),
        end_(end),
        growth_(growth) {}

  // The lowest `count` > 0 free units at or above `from`, the first of which is
  // aligned, or kNone. It is a guess until they are marked.
  size_t Find(size_t from, size_t count, size_t alignment) {
    return FindRun(from, count, alignment, /*by_hints=*/true);
  }
  // The same, if need be by a look at all bits.
  size_t FindWithoutHints(size_t count, size_t alignment) {
    return FindRun(0, count, alignment, /*by_hints=*/false);
  }

  // To be called when units became free, by the update that made them free, or
  // by the one that showed that they are mapped. Some of them may be in use.
  void BecameFree(size_t start, size_t count);

  // The first unit at or above `unit` whose address is a multiple of
  // `alignment`.
  size_t AlignedUnit(size_t unit, size_t alignment) const;

 private:
  static constexpr size_t kWordBits = Bitmap::kWordBits;

  // The free units of a word of bits. What cannot be accessed is not free.
  AO_t FreeIn(size_t word) const {
    const size_t first = word * kWordBits;
    const size_t end = LoadRelaxed(end_);
    if (first >= end) return 0;
    AO_t free = ~LoadRelaxed(&used_[word]);
    if (end - first < kWordBits) free &= ~(~AO_t{0} << (end - first));
    const bool is_there =
        free == 0 || growth_ == nullptr || growth_->IsMapped(word);
    return is_there ? free : 0;
  }
  AO_t AlignedIn(size_t word, size_t alignment) const;
  // The hint about runs that are so aligned, and the alignment that is about.
  size_t HintFor(size_t alignment) const;
  size_t AlignmentOf(size_t hint) const {
    return size_t{1} << (unit_shift_ + hint);
  }
  size_t FindRun(size_t from, size_t count, size_t alignment, bool by_hints);
  size_t FindStart(size_t from, size_t count, size_t alignment, bool by_hints);
  size_t FreeUpTo(size_t from, size_t end) const;
  size_t FreeBefore(size_t unit) const;
  size_t FreeFrom(size_t unit) const;
  void LowerHint(size_t group, size_t hint);

  const char* const base_;
  const int unit_shift_;
  const AtomicWord* const used_;
  FreeHints hints_;
  const AtomicWord* const end_;
  const Growth* const growth_;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_ARENA_FREE_RUNS_H_
