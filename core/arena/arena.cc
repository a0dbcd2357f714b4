#include "core/arena/arena.h"

namespace aomalloc {
namespace {

AO_t MaskIn(size_t word, size_t start, size_t end) {
  return Bitmap::MaskIn(word, start, end);
}

size_t WordsUpTo(size_t end) { return Bitmap::WordsUpTo(end); }

}  // namespace

size_t Arena::NextInaccessible(size_t unit) const {
  const size_t end = this->end();
  while (unit < end && IsUnitThere(unit)) {
    const size_t last = unit | (kWordBits - 1);
    unit = IsUnitThere(last) ? last + 1 : unit + 1;
  }
  return unit < end ? unit : end;
}

// True if all units of [start, end) are mapped.
bool Arena::AreThere(size_t start, size_t end) const {
  for (size_t word = start / kWordBits; word < WordsUpTo(end); ++word) {
    if (!IsThere(word)) return false;
  }
  return true;
}

// Marks the units if all are free.
bool Arena::Mark(size_t start, size_t count) {
  const size_t end = Bitmap(used_).MarkUpTo(start, count);
  if (end == start + count) return true;
  if (end != start) Unmark(start, end - start);
  return false;
}

void Arena::Unmark(size_t start, size_t count) {
  Bitmap(used_).Clear(start, count);
  BecameFree(start, count);
}

// To be called when units were unmarked, or shown to be mapped.
void Arena::BecameFree(size_t start, size_t count) {
  BarrierAfterUpdate();
  free_runs_.BecameFree(start, count);
  for (size_t word = start / kWordBits; word < WordsUpTo(start + count);
       ++word) {
    if (FreeDirtyIn(word) == 0) continue;
    const size_t group = word / FreeHints::kGroupWords;
    hints_.Raise(group, FreeHints::kDirty, FreeHints::kMost);
    word = (group + 1) * FreeHints::kGroupWords - 1;  // the next group follows
  }
  NoteFree(start);
}

// Lets others see what was mapped, some of which is marked.
void Arena::Publish(const Growth::Piece& piece) {
  RaiseTo(&end_, piece.end);
  growth_->Publish(piece);
  BecameFree(piece.start, piece.end - piece.start);
}

size_t Arena::FreeTail(size_t there) const {
  size_t words = WordsUpTo(there);
  for (; words > 0 && IsThere(words - 1); --words) {
    const AO_t bits = LoadRelaxed(&used_[words - 1]);
    if (bits == 0) continue;
    return words * kWordBits - Bitmap::CountLeadingZeros(bits);
  }
  return words * kWordBits;
}

void Arena::Begin() {
  constexpr size_t kUnits = Growth::kFirstUnits;
  if (!growth_->MapFirst()) return;
  SetBits(&used_[0], MaskIn(0, kUnits, kWordBits));
  StoreRelaxed(&end_, kUnits);
}

// True if the first chunk was not all there, and there is more of it now. The
// rest of it may be too small for `count` units.
bool Arena::GrowFirst(size_t count) {
  if (growth_ == nullptr || count > kWordBits) return false;
  const Growth::Piece piece = growth_->MapMoreOfFirst();
  if (piece.start == piece.end) return false;
  RaiseTo(&end_, piece.end);
  Unmark(piece.start, piece.end - piece.start);
  return true;
}

// Maps memory for `count` units, from `lowest` on, and marks them; kNone when
// there is none.
size_t Arena::Grow(size_t count, size_t alignment, size_t lowest) {
  if (growth_ == nullptr || count > units_) return kNone;
  // Where memory ends, so that what is free there does not lie idle.
  const size_t there = end();
  const size_t tail = free_runs_.AlignedUnit(FreeTail(there), alignment);
  const bool is_here = HugePages::AreInOneArea(lowest, tail);
  if (is_here && tail < there && count > there - tail &&
      Mark(tail, there - tail)) {
    if (GrowAt(there, tail + count)) return tail;
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

// Of units that were just mapped, and that others see as in use, marks those of
// [start, end) and no others.
void Arena::MarkNew(const Growth::Piece& piece, size_t start, size_t end) {
  for (size_t word = piece.start / kWordBits; word < WordsUpTo(piece.end);
       ++word) {
    const size_t first = word * kWordBits;
    const bool none = end <= first || start >= first + kWordBits;
    const AO_t mask = none ? 0 : MaskIn(word, start, end);
    if (LoadRelaxed(&used_[word]) == 0) {
      // Never mapped before. It is not in the chunks that others look at.
      SetBits(&used_[word], mask);
    } else {
      // Unmapped before, so all units are marked. From here on, a thread that
      // saw the chunk in the past can take some. Release: the memory is there.
      ClearBitsRelease(&used_[word], ~mask);
    }
  }
}

// Maps and marks the units from `start`, where memory ends, to `end`.
bool Arena::GrowAt(size_t start, size_t end) {
  const Growth::Piece piece = growth_->MapAt(start, end - start, Step());
  if (piece.start == piece.end) return false;
  MarkNew(piece, start, end);
  Publish(piece);
  return true;
}

// Marks all units of a free clean chunk. False if it is not, or not any more.
bool Arena::MarkChunk(size_t word) {
  if (!IsThere(word) || LoadRelaxed(&dirty_[word]) != 0 ||
      LoadRelaxed(&used_[word]) != 0 ||
      // Acquire: as in Mark. It is unmapped after what the last user wrote.
      !CasAcquire(&used_[word], 0, ~AO_t{0})) {
    return false;
  }
  // It may have been unmapped and mapped again meanwhile, and is not published
  // yet.
  const bool is_there = IsThere(word);
  if (!is_there) Unmark(word * kWordBits, kWordBits);
  return is_there;
}

// Marks free clean chunks that are adjacent, the highest below `*top` first.
// Sets `*top` to where the next search begins. Looks at `*looks` others at most
// on the way.
Growth::Piece Arena::MarkFreeChunks(size_t* top, size_t most, size_t* looks) {
  size_t count = 0;
  for (; *top > 0 && count < most; --*top) {
    if (MarkChunk(*top - 1)) {
      ++count;
    } else if (count > 0 || *looks == 0) {
      break;
    } else {
      --*looks;
    }
  }
  return {*top * kWordBits, (*top + count) * kWordBits};
}

void Arena::UnmapFree(size_t allowed, size_t looks) {
  const size_t all = WordsUpTo(end());
  const size_t from = LoadRelaxed(&unmap_from_);
  size_t top = from == 0 || from > all || looks >= all ? all : from;
  size_t there;
  while ((there = accessible_units()) > allowed && !growth_->CannotUnmap()) {
    const size_t excess = WordsUpTo(there - allowed);
    const Growth::Piece piece = MarkFreeChunks(
        &top, excess < kMostUnmapped ? excess : kMostUnmapped, &looks);
    if (piece.start == piece.end) break;
    const size_t count = piece.end - piece.start;
    switch (growth_->Unmap(piece)) {
      case Growth::Unmapped::kDone: {
        // Somebody may have used and returned it before it was marked.
        const size_t dirty = CountDirty(piece.start, count);
        ClearDirtyBits(piece.start, count);
        AddToCounts(0, ~dirty + 1);
        growth_->LetGo(piece);
        break;
      }
      case Growth::Unmapped::kRefused:
        Unmark(piece.start, count);
        break;
      case Growth::Unmapped::kUnknown:
        break;
    }
  }
  StoreRelaxed(&unmap_from_, top);
}

size_t Arena::CountDirty(size_t start, size_t count) const {
  const size_t end = start + count;
  size_t dirty = 0;
  for (size_t word = start / kWordBits; word < WordsUpTo(end); ++word) {
    dirty +=
        Bitmap::PopCount(LoadRelaxed(&dirty_[word]) & MaskIn(word, start, end));
  }
  return dirty;
}

// The units are the caller's, but other units of the word are not: so the
// change is atomic. It orders nothing: Unmark publishes it.
void Arena::SetDirtyBits(size_t start, size_t count) {
  const size_t end = start + count;
  for (size_t word = start / kWordBits; word < WordsUpTo(end); ++word) {
    const AO_t clean = ~LoadRelaxed(&dirty_[word]) & MaskIn(word, start, end);
    if (clean != 0) SetBits(&dirty_[word], clean);
  }
}

void Arena::ClearDirtyBits(size_t start, size_t count) {
  const size_t end = start + count;
  for (size_t word = start / kWordBits; word < WordsUpTo(end); ++word) {
    const AO_t dirty = LoadRelaxed(&dirty_[word]) & MaskIn(word, start, end);
    // Unmark publishes the bits, and threads that read them without having
    // marked the units take them for hints.
    if (dirty != 0) ClearBits(&dirty_[word], dirty);
  }
}

// Adds to both counts; wrapped values subtract.
void Arena::AddToCounts(size_t used, size_t dirty) {
  AddRelaxed(&counts_, used + (dirty << kCountBits));
}

// Counts units that the caller has marked. True if none is dirty.
bool Arena::BeginUse(size_t start, size_t count) {
  const size_t dirty = CountDirty(start, count);
  AddToCounts(count, ~dirty + 1);
  RaiseTo(&peak_used_, used_units());
  return dirty == 0;
}

size_t Arena::PlaceFor(size_t count, bool dense) const {
  if (!dense || growth_ == nullptr) return 0;
  return HugePages::PlaceForDense(count, used_units());
}

// True if a sparse run should not be at `start`. A dirty unit is resident
// anyway.
bool Arena::IsTooGood(size_t start) const {
  return growth_ != nullptr && growth_->huge_pages()->AreTooGoodFor(start) &&
         !IsDirty(start);
}

// Marks the lowest free run from `from` on, but, if it is to be sparse, none
// that is too good.
size_t Arena::MarkFree(size_t from, size_t count, size_t alignment,
                       bool sparse) {
  while (true) {
    const size_t start = free_runs_.Find(from, count, alignment);
    if (start != kNone && sparse && IsTooGood(start)) {
      from = (start / HugePages::kUnits + 1) * HugePages::kUnits;
      continue;
    }
    // What was marked by others meanwhile is not found again.
    if (start == kNone || Mark(start, count)) return start;
    from = start;
  }
}

// Marks a run for which a huge page need not be made: in small pages, and
// resident. kNone if there is none at the lowest place.
size_t Arena::MarkDirtySmall(size_t count, size_t alignment) {
  const size_t start =
      free_runs_.Find(LoadRelaxed(&first_free_), count, alignment);
  const bool is_small = start < HugePages::kFirstUnit;
  return is_small && IsDirty(start) && Mark(start, count) ? start : kNone;
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
  const size_t lowest = PlaceFor(count, dense);
  if (lowest != 0) {
    const size_t first = LoadRelaxed(hint);
    if (first < lowest) start = MarkDirtySmall(count, alignment);
    if (start == kNone) {
      start = MarkOrGrow(lowest, first, count, alignment, /*sparse=*/false);
    }
  }
  if (start == kNone) {
    hint = &first_free_;
    start = MarkOrGrow(0, LoadRelaxed(hint), count, alignment, !dense);
  }
  if (start == kNone) start = MarkAnywhere(count, alignment);
  if (start == kNone) return Taken();
  if (count == 1 && alignment <= unit_bytes()) StoreRelaxed(hint, start + 1);
  Taken taken;
  taken.zeroed = BeginUse(start, count);
  taken.run = table_ + start;
  taken.run->units = static_cast<uint32_t>(count);
  taken.run->base = AddressOf(taken.run);
  return taken;
}

void Arena::Return(Run* run, bool dirty) {
  const size_t start = static_cast<size_t>(run - table_);
  const size_t count = run->units;
  run->kind = RunKind::kFree;
  if (dirty) {
    SetDirtyBits(start, count);
  } else {
    ClearDirtyBits(start, count);
  }
  AddToCounts(~count + 1, dirty ? count : 0);
  Unmark(start, count);
  if (!dirty) NoteClean((start + count - 1) / kWordBits);
}

bool Arena::Extend(Run* run, size_t count) {
  const size_t start = static_cast<size_t>(run - table_) + run->units;
  const size_t more = count - run->units;
  if (more > units_ || start + more > units_) return false;
  const size_t end = start + more;
  while (end > this->end() && GrowFirst(1)) {
  }
  const size_t there = this->end();
  if (growth_ == nullptr && end > there) return false;
  const size_t middle = end < there ? end : there;
  if (!AreThere(start, middle) || !Mark(start, middle - start)) return false;
  if (middle != end && !GrowAt(middle, end)) {
    Unmark(start, middle - start);
    return false;
  }
  BeginUse(start, more);
  run->units = static_cast<uint32_t>(count);
  return true;
}

Run* Arena::Cut(Run* run, size_t count) {
  Run* tail = run + count;
  tail->units = static_cast<uint32_t>(run->units - count);
  tail->base = AddressOf(tail);
  Commit(&run->units, static_cast<uint32_t>(count));
  return tail;
}

// The dirty units of a word that are not in use.
AO_t Arena::FreeDirtyIn(size_t word) const {
  return LoadRelaxed(&dirty_[word]) & ~LoadRelaxed(&used_[word]);
}

}  // namespace aomalloc
