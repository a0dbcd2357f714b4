// Hints that spare a search for units most of an arena.
//
// A group is 64 words of an arena's bits, 4,096 units. It has eight hints, a
// word each. Seven are about free runs, one for each alignment of 1, 2, 4 .. 64
// units: no run of more than `most` free units begins in the group at a unit
// that is so aligned. Runs count as far as 64 units, also into the next group.
// The eighth is about purging: if its `most` is 0, the group has no free unit
// that is dirty.
//
// A hint is derived from the bits, and may only err upwards: what there is is
// found, and what was taken meanwhile is found to be so by a look at the bits.
// Whoever looks at all of a group in vain lowers its hint.
//
// Who touches what: any thread and handler may call anything at any time.
//
// How a hint stays high enough: who makes units free does so first, then reads
// the hints (Raise). Who lowers it makes it odd first (BeginLowering), then
// reads the bits, and commits with a compare-and-swap from that value
// (Lower). There is a barrier between the two steps of both. So either the
// second reads the bits that are free, or the first reads a hint that is odd,
// or was lowered already. It changes an odd hint, and raises one that is too
// low: then the compare-and-swap of the second fails. Each change of a hint
// makes a value that it never had. Two who make neighbouring runs free at the
// same time have the same barrier in between: one of them at least reads that
// both are free, and raises the hint as far as the whole takes.
//
// Interruption: a thread that stops after BeginLowering leaves a hint that
// excludes nothing. Others lower it in its place. One that stops between making
// units free and Raise hides from searches for long runs what it has made free,
// with the free units beside it: until units next to them are made free, or
// memory cannot grow, when a search goes without hints.
#ifndef AOMALLOC_CORE_ARENA_FREE_HINTS_H_
#define AOMALLOC_CORE_ARENA_FREE_HINTS_H_

#include "core/arena/bitmap.h"
#include "core/base/atomics.h"

namespace aomalloc {

class FreeHints {
 public:
  static constexpr size_t kGroupWords = 64;
  static constexpr size_t kGroupUnits = kGroupWords * Bitmap::kWordBits;

  // The hints of a group: those about runs, by the logarithm of the alignment,
  // and that about dirty units. They are one line of a processor's cache.
  static constexpr size_t kAlignments = 7;
  static constexpr size_t kDirty = kAlignments;
  static constexpr size_t kHints = kAlignments + 1;

  // Runs count as far as this.
  static constexpr size_t kMost = size_t{1} << (kAlignments - 1);

  // The words of hints that `units` take. Zero excludes nothing.
  static constexpr size_t WordsFor(size_t units) {
    return (units + kGroupUnits - 1) / kGroupUnits * kHints;
  }

  constexpr explicit FreeHints(AtomicWord* words) : words_(words) {}

  size_t Most(size_t group, size_t hint) const {
    return MostOf(LoadRelaxed(At(group, hint)));
  }

  // To be called after units became free, and after BarrierAfterUpdate: `most`
  // begin in the group. Acquire: pairs with Lower.
  void Raise(size_t group, size_t hint, size_t most) {
    const AO_t seen = LoadAcquire(At(group, hint));
    if (IsLow(seen, most)) RaiseFrom(group, hint, seen, most);
  }

  // To lower a hint: BeginLowering, then a look at all bits that matter, then
  // Lower with what was seen and what BeginLowering returned; 0: it failed.
  AO_t BeginLowering(size_t group, size_t hint);
  void Lower(size_t group, size_t hint, AO_t begun, size_t most);

 private:
  // Of a hint. kMost minus the longest run is kept, so that zero excludes
  // nothing.
  static constexpr AO_t kLowering = 1;
  static constexpr int kLessShift = 1;
  static constexpr AO_t kLessMask = AO_t{2 * kMost - 1} << kLessShift;
  static constexpr AO_t kVersion = AO_t{1} << 8;
  static_assert(kLessMask < kVersion);

  static size_t MostOf(AO_t hint) {
    return kMost - ((hint & kLessMask) >> kLessShift);
  }
  // True if it excludes a run of `most`, or may do so soon.
  static bool IsLow(AO_t hint, size_t most) {
    return (hint & kLowering) != 0 || MostOf(hint) < most;
  }
  // What follows `hint`, with another `most`.
  static AO_t Next(AO_t hint, size_t most) {
    return (hint & ~(kVersion - 1)) + kVersion + ((kMost - most) << kLessShift);
  }

  void RaiseFrom(size_t group, size_t hint, AO_t seen, size_t most);
  AtomicWord* At(size_t group, size_t hint) const {
    return &words_[group * kHints + hint];
  }

  AtomicWord* const words_;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_ARENA_FREE_HINTS_H_
