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

// The first unit of [start, end) that is not mapped, or `end`. In the first
// chunk, units that are not mapped yet count as mapped, as they are marked.
size_t Arena::EndOfThere(size_t start, size_t end) const {
  while (start < end && IsThere(start / kWordBits)) {
    start = (start | (kWordBits - 1)) + 1;
  }
  return start < end ? start : end;
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
  NoteFree(start, count);
}

// To be called when units were unmarked.
void Arena::NoteFree(size_t start, size_t count) {
  if (start < LoadRelaxed(&first_free_)) StoreRelaxed(&first_free_, start);
  if (start + count <= HugePages::kFirstUnit) return;
  const bool is_small = start < HugePages::kFirstUnit;
  const size_t first = is_small ? HugePages::kFirstUnit : start;
  if (first < LoadRelaxed(&first_free_dense_)) {
    StoreRelaxed(&first_free_dense_, first);
  }
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

// Maps and marks the units from `start`, where a chunk that is not mapped
// begins, to `end`.
bool Arena::GrowAt(size_t start, size_t end, bool huge) {
  const Growth::Piece piece = growth_->MapAt(start, end - start, Step(), huge);
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
// on the way, where chunks that are not mapped count as one, up to a word.
Growth::Piece Arena::MarkFreeChunks(size_t* top, size_t most, size_t* looks) {
  size_t count = 0;
  while (*top > 0 && count < most) {
    if (MarkChunk(*top - 1)) {
      ++count;
      --*top;
    } else if (count > 0 || *looks == 0) {
      break;
    } else {
      --*looks;
      *top = growth_->PassUnmapped(*top - 1);
    }
  }
  return {*top * kWordBits, (*top + count) * kWordBits};
}

void Arena::UnmapFree(size_t allowed, size_t looks) {
  const size_t all = WordsUpTo(end());
  const size_t from = LoadRelaxed(&unmap_from_);
  const bool begins_above = from == 0 || from > all || looks >= all;
  size_t top = begins_above ? all : from;
  bool may_wrap = !begins_above;
  size_t there;
  while ((there = accessible_units()) > allowed && !growth_->CannotUnmap()) {
    const size_t excess = WordsUpTo(there - allowed);
    const size_t share = WordsUpTo(there) / kUnmappedFraction;
    const size_t most = share > kMostUnmapped ? share : kMostUnmapped;
    const Growth::Piece piece =
        MarkFreeChunks(&top, excess < most ? excess : most, &looks);
    if (piece.start == piece.end) {
      if (top != 0 || !may_wrap) break;
      may_wrap = false;
      top = all;
      continue;
    }
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
  // What stays is to be the lowest.
  StoreRelaxed(&unmap_from_, accessible_units() > allowed ? top : 0);
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
}

bool Arena::Extend(Run* run, size_t count) {
  const size_t start = static_cast<size_t>(run - table_) + run->units;
  const size_t more = count - run->units;
  if (more > units_ || start + more > units_) return false;
  const size_t end = start + more;
  while (end > this->end() && GrowFirst(1)) {
  }
  if (growth_ == nullptr && end > this->end()) return false;
  // Behind that there is a hole, or no memory yet.
  const size_t middle = EndOfThere(start, end);
  if (!Mark(start, middle - start)) return false;
  if (middle != end && !GrowAt(middle, end, IsWorthHugePages(more))) {
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
