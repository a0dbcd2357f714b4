#include "core/arena/arena.h"

#include "core/base/os_memory.h"

namespace aomalloc {
namespace {

constexpr size_t kPurgeUnits = 4;

AO_t MaskIn(size_t word, size_t start, size_t end) {
  return Bitmap::MaskIn(word, start, end);
}

size_t WordsUpTo(size_t end) { return Bitmap::WordsUpTo(end); }

size_t CountTrailingZeros(AO_t bits) {
  return Bitmap::CountTrailingZeros(bits);
}

size_t PopCount(AO_t bits) {
  return static_cast<size_t>(__builtin_popcountl(bits));
}

}  // namespace

// The first unit in use in [from, end), or `end`.
size_t Arena::NextUsed(size_t from, size_t end) const {
  for (size_t word = from / kWordBits; word < WordsUpTo(end); ++word) {
    const AO_t used = IsThere(word) ? LoadRelaxed(&used_[word]) : ~AO_t{0};
    const AO_t bits = used & MaskIn(word, from, end);
    if (bits != 0) {
      return word * kWordBits + CountTrailingZeros(bits);
    }
  }
  return end;
}

// The first free unit in [from, end), or `end`.
size_t Arena::NextFree(size_t from, size_t end) const {
  for (size_t word = from / kWordBits; word < WordsUpTo(end); ++word) {
    const AO_t bits = ~LoadRelaxed(&used_[word]) & MaskIn(word, from, end);
    if (bits != 0 && IsThere(word)) {
      return word * kWordBits + CountTrailingZeros(bits);
    }
  }
  return end;
}

// The first unit at or above `unit` whose address is a multiple of `alignment`.
size_t Arena::AlignedUnit(size_t unit, size_t alignment) const {
  const uintptr_t address =
      reinterpret_cast<uintptr_t>(base_) + (unit << unit_shift_);
  return unit + (((~address + 1) & (alignment - 1)) >> unit_shift_);
}

// The lowest run of free units at or above `from`, or kNone. It is a guess
// until it is marked.
size_t Arena::FindFree(size_t from, size_t count, size_t alignment) const {
  const size_t end = this->end();
  size_t start = from;
  while (true) {
    start = AlignedUnit(NextFree(start, end), alignment);
    if (start >= end || count > end - start) return kNone;
    const size_t used = NextUsed(start, start + count);
    if (used == start + count) return start;
    start = used + 1;
  }
}

size_t Arena::NextInaccessible(size_t unit) const {
  const size_t end = this->end();
  while (unit < end && IsThere(unit / kWordBits)) {
    unit = (unit / kWordBits + 1) * kWordBits;
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

bool Arena::Mark(size_t start, size_t count) {
  return Bitmap(used_).Mark(start, count);
}

void Arena::Unmark(size_t start, size_t count) {
  Bitmap(used_).Clear(start, count);
  if (start < LoadRelaxed(&first_free_)) StoreRelaxed(&first_free_, start);
}

// Lets others see what was mapped, some of which is marked.
void Arena::Publish(const Growth::Piece& piece) {
  RaiseTo(&end_, piece.end);
  growth_->Publish(piece);
}

// Where the free units begin that memory ends with; `there` if there are none.
size_t Arena::FreeTail(size_t there) const {
  size_t words = WordsUpTo(there);
  for (; words > 0 && IsThere(words - 1); --words) {
    const AO_t bits = LoadRelaxed(&used_[words - 1]);
    if (bits == 0) continue;
    return words * kWordBits - static_cast<size_t>(__builtin_clzl(bits));
  }
  return words * kWordBits;
}

// Maps memory for `count` units and marks them; kNone when there is none.
size_t Arena::Grow(size_t count, size_t alignment) {
  if (growth_ == nullptr || count > units_) return kNone;
  // Where memory ends, so that what is free there does not lie idle.
  const size_t there = end();
  const size_t tail = AlignedUnit(FreeTail(there), alignment);
  if (tail < there && count > there - tail && Mark(tail, there - tail)) {
    if (GrowAt(there, tail + count)) return tail;
    Unmark(tail, there - tail);
  }
  // Chunks are aligned like the arena, up to their size.
  const uintptr_t chunk =
      reinterpret_cast<uintptr_t>(base_) | kWordBits << unit_shift_;
  const bool is_aligned = (chunk & (alignment - 1)) == 0;
  const size_t least = count + (is_aligned ? 0 : alignment >> unit_shift_);
  const Growth::Piece piece = growth_->Map(least, Step());
  if (piece.start == piece.end) return kNone;
  const size_t start = AlignedUnit(piece.start, alignment);
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
  if (!is_there) ClearBitsRelease(&used_[word], ~AO_t{0});
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
    dirty += PopCount(LoadRelaxed(&dirty_[word]) & MaskIn(word, start, end));
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

Arena::Taken Arena::Take(size_t count, size_t alignment) {
  Taken taken;
  size_t from = LoadRelaxed(&first_free_);
  size_t start;
  while (true) {
    start = FindFree(from, count, alignment);
    if (start == kNone && from != 0) {
      from = 0;  // The hint may be wrong: search everything before growing.
      continue;
    }
    if (start == kNone || Mark(start, count)) break;
    from = start;
  }
  if (start == kNone) start = Grow(count, alignment);
  if (start == kNone) return taken;
  if (count == 1 && alignment <= unit_bytes()) {
    StoreRelaxed(&first_free_, start + 1);
  }
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

// Purges the units `bits` of a word, which the caller has marked. False if the
// system refused some.
bool Arena::PurgeUnits(size_t word, AO_t bits) {
  AO_t rest = bits;
  AO_t purged = 0;
  while (rest != 0) {
    const size_t first = CountTrailingZeros(rest);
    const size_t length = CountTrailingZeros(~(rest >> first));
    const AO_t mask = MaskIn(0, first, first + length);
    const size_t unit = word * kWordBits + first;
    if (os::Purge(base_ + (unit << unit_shift_), length << unit_shift_)) {
      purged |= mask;
      AddRelaxed(&purges_, 1);
      AddRelaxed(&purged_, length);
    }
    rest &= ~mask;
  }
  // Other threads may have taken some of the units, and purged or cleared them,
  // before the caller marked them: these are not dirty any more.
  const AO_t dirty = LoadRelaxed(&dirty_[word]) & purged;
  // PurgeExcess publishes the bits when it lets the units go.
  ClearBits(&dirty_[word], dirty);
  AddToCounts(0, ~PopCount(dirty) + 1);
  return purged == bits;
}

void Arena::PurgeExcess(size_t allowed, bool insists) {
  if (!mapped_) return;
  // If the system refuses to purge some units, for example locked ones, the
  // rest is still tried. After a few refusals it is of little use: the next
  // call continues from there.
  constexpr int kManyRefusals = 4;
  int refusals = 0;
  const size_t top = WordsUpTo(end());
  const size_t from = LoadRelaxed(&purge_from_);
  for (size_t word = from != 0 && from < top ? from : top; word-- > 0;) {
    if (dirty_units() <= allowed) break;
    // A few units at a time: if this operation stops here, they are lost.
    for (size_t unit = 0; unit < kWordBits; unit += kPurgeUnits) {
      const AO_t group = MaskIn(0, unit, unit + kPurgeUnits);
      const AO_t used = LoadRelaxed(&used_[word]);
      const AO_t bits = LoadRelaxed(&dirty_[word]) & ~used & group;
      // Acquire: as in Mark. The purge comes after what the last user wrote.
      if (bits == 0 || !CasAcquire(&used_[word], used, used | bits)) continue;
      const bool purged = PurgeUnits(word, bits);
      // Release: as in Unmark. The next user comes after the purge, and sees
      // the `dirty` bits that it cleared.
      ClearBitsRelease(&used_[word], bits);
      NoteClean(word);
      if (word * kWordBits < LoadRelaxed(&first_free_)) {
        StoreRelaxed(&first_free_, word * kWordBits);
      }
      if (!purged && ++refusals == kManyRefusals && !insists) {
        return StoreRelaxed(&purge_from_, word);
      }
    }
  }
  if (from != 0) StoreRelaxed(&purge_from_, 0);
}

}  // namespace aomalloc
