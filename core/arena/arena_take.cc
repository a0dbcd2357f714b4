// Arenas: how free units are found, or mapped, and marked.
#include "core/arena/arena.h"

namespace aomalloc {

// True if a run that is to lie from `lowest` on may begin with the free units
// of [tail, there), and go on behind them.
bool Arena::IsFor(size_t lowest, size_t tail, size_t there) const {
  return lowest != 0 ? tail >= lowest
                     : growth_->huge_pages()->MayBeSparse(tail, there);
}

// Maps memory for `count` units, from `lowest` on, and marks them; kNone when
// there is none.
size_t Arena::Grow(size_t count, size_t alignment, size_t lowest) {
  if (growth_ == nullptr || count > units_) return kNone;
  // Where memory ends, so that what is free there does not lie idle.
  const size_t there = end();
  const size_t tail = free_runs_.AlignedUnit(FreeTail(there), alignment);
  if (tail < there && count > there - tail && IsFor(lowest, tail, there) &&
      Mark(tail, there - tail)) {
    if (GrowAt(there, tail + count, lowest != 0)) {
      if (lowest == 0 && there - tail <= count / 2) Clean(tail, there);
      return tail;
    }
    Unmark(tail, there - tail);
  }
  // Chunks are aligned like the arena, up to their size.
  const uintptr_t chunk =
      reinterpret_cast<uintptr_t>(base_) | kWordBits << unit_shift_;
  const bool is_aligned = (chunk & (alignment - 1)) == 0;
  const size_t least = count + (is_aligned ? 0 : alignment >> unit_shift_);
  const Growth::Piece piece = growth_->Map(least, Step(), lowest, lowest != 0);
  if (piece.start == piece.end) return kNone;
  const size_t start = free_runs_.AlignedUnit(piece.start, alignment);
  MarkNew(piece, start, start + count);
  Publish(piece);
  return start;
}

// True if `count` units that are likely to be used should be in huge pages.
bool Arena::IsWorthHugePages(size_t count) const {
  return growth_ != nullptr &&
         HugePages::AreWorthwhile(count, used_units(), LoadRelaxed(&dense_));
}

// True if a sparse run should not be at `start`. A dirty unit is resident
// anyway.
bool Arena::IsTooGood(size_t start) const {
  return growth_ != nullptr && growth_->huge_pages()->AreTooGoodFor(start) &&
         !IsDirty(start);
}

// Marks the lowest free run from `from` on, but, if it is to be sparse, none
// that is too good. After kPatience pages it does not look any more whether the
// units of huge pages are dirty.
size_t Arena::MarkFree(size_t from, size_t count, size_t alignment,
                       bool sparse) {
  constexpr int kPatience = 64;
  int too_good = 0;
  while (true) {
    const size_t start = free_runs_.Find(from, count, alignment);
    if (start != kNone && sparse && IsTooGood(start)) {
      const HugePages* pages = growth_->huge_pages();
      from = ++too_good < kPatience ? HugePages::NextPage(start)
                                    : pages->NextSmall(start, end());
      continue;
    }
    // What was marked by others meanwhile is not found again.
    if (start == kNone || Mark(start, count)) return start;
    from = start;
  }
}

// Marks a run from `lowest` on, and maps memory for it if need be. `first` is a
// hint, as first_free_ is.
size_t Arena::MarkOrGrow(size_t lowest, size_t first, size_t count,
                         size_t alignment, bool sparse) {
  size_t start = kNone;
  if (first > lowest) start = MarkFree(first, count, alignment, sparse);
  // The hint may be wrong: all is searched before the arena grows.
  while (start == kNone) {
    start = MarkFree(lowest, count, alignment, sparse);
    if (start != kNone || lowest != 0 || !GrowFirst(count)) break;
  }
  return start != kNone ? start : Grow(count, alignment, lowest);
}

// Marks a run where huge pages are. It begins with one if little of its last
// one is left over.
size_t Arena::MarkDense(size_t count, size_t alignment) {
  constexpr size_t kLowest = HugePages::kFirstUnit;
  const size_t first = LoadRelaxed(&first_free_dense_);
  if (HugePages::AreFilledBy(count) && alignment < HugePages::kBytes) {
    const size_t start =
        MarkOrGrow(kLowest, first, count, HugePages::kBytes, false);
    if (start != kNone) return start;
  }
  return MarkOrGrow(kLowest, first, count, alignment, false);
}

// The caller has marked the units. Makes the broken pages of which all units
// are in use now huge again.
void Arena::MendFull(size_t start, size_t count) {
  HugePages* pages = growth_->huge_pages();
  const size_t end = start + count;
  for (size_t unit = start / HugePages::kUnits * HugePages::kUnits; unit < end;
       unit += HugePages::kUnits) {
    const size_t word = unit / kWordBits;
    const AO_t page = Bitmap::MaskIn(word, unit, unit + HugePages::kUnits);
    const AO_t used = LoadRelaxed(&used_[word]);
    if ((~used & page) == 0 && pages->IsBroken(unit)) pages->Mend(unit);
  }
}

// Marks a run where the arena cannot grow. Hints may be wrong as well, if a
// thread has stopped.
size_t Arena::MarkAnywhere(size_t count, size_t alignment) {
  const size_t found = MarkFree(0, count, alignment, /*sparse=*/false);
  if (found != kNone) return found;
  while (true) {
    const size_t start = free_runs_.FindWithoutHints(count, alignment);
    if (start == kNone || Mark(start, count)) return start;
  }
}

Arena::Taken Arena::Take(size_t count, size_t alignment, bool dense) {
  size_t start = kNone;
  AtomicWord* hint = &first_free_dense_;
  const bool huge = dense && IsWorthHugePages(count);
  if (huge) {
    start = MarkDense(count, alignment);
    if (start != kNone) MendFull(start, count);
  }
  if (start == kNone) {
    hint = &first_free_;
    start = MarkOrGrow(0, LoadRelaxed(hint), count, alignment, !dense);
  }
  if (start == kNone) start = MarkAnywhere(count, alignment);
  if (start == kNone) return Taken();
  if (count == 1 && alignment <= unit_bytes()) StoreRelaxed(hint, start + 1);
  if (dense && !huge) AddRelaxed(&dense_, count);
  Taken taken;
  taken.zeroed = BeginUse(start, count);
  taken.run = table_ + start;
  taken.run->units = static_cast<uint32_t>(count);
  taken.run->base = AddressOf(taken.run);
  return taken;
}

}  // namespace aomalloc
