#include "core/arena.h"

#include "core/os.h"

namespace aomalloc {
namespace {

constexpr size_t kWordBits = 64;
constexpr size_t kPurgeUnits = 4;

// The bits of word `word` that belong to units [start, end).
AO_t MaskIn(size_t word, size_t start, size_t end) {
  const size_t first = word * kWordBits;
  AO_t mask = ~AO_t{0};
  if (start > first) mask &= ~AO_t{0} << (start - first);
  if (end < first + kWordBits) mask &= ~(~AO_t{0} << (end - first));
  return mask;
}

size_t WordsUpTo(size_t end) { return (end + kWordBits - 1) / kWordBits; }

// The number of zeros below the lowest one; kWordBits if there is no one.
size_t CountTrailingZeros(AO_t bits) {
  return bits == 0 ? kWordBits : static_cast<size_t>(__builtin_ctzl(bits));
}

size_t PopCount(AO_t bits) {
  return static_cast<size_t>(__builtin_popcountl(bits));
}

}  // namespace

// The first unit in use in [from, end), or `end`.
size_t Arena::NextUsed(size_t from, size_t end) const {
  for (size_t word = from / kWordBits; word < WordsUpTo(end); ++word) {
    const AO_t bits = LoadRelaxed(&used_[word]) & MaskIn(word, from, end);
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
    if (bits != 0) {
      return word * kWordBits + CountTrailingZeros(bits);
    }
  }
  return end;
}

// The lowest run of free units at or above `from`; what it finds is a guess
// until it is claimed.
size_t Arena::FindFree(size_t from, size_t count, size_t alignment) const {
  const size_t end = this->end();
  size_t start = from;
  while (true) {
    start = NextFree(start, end);
    if (alignment > unit_bytes()) {
      const uintptr_t address =
          reinterpret_cast<uintptr_t>(base_) + (start << unit_shift_);
      start += ((~address + 1) & (alignment - 1)) >> unit_shift_;
    }
    if (start >= end || count > end - start) return kNone;
    const size_t used = NextUsed(start, start + count);
    if (used == start + count) return start;
    start = used + 1;
  }
}

bool Arena::Claim(size_t start, size_t count) {
  const size_t end = start + count;
  for (size_t word = start / kWordBits; word < WordsUpTo(end); ++word) {
    const AO_t mask = MaskIn(word, start, end);
    AO_t old;
    do {
      old = LoadRelaxed(&used_[word]);
      if ((old & mask) != 0) {
        const size_t claimed_end = word * kWordBits;
        if (claimed_end > start) Unclaim(start, claimed_end - start);
        return false;
      }
      // Acquire: what the last user wrote there comes before what we write.
    } while (!CasAcquire(&used_[word], old, old | mask));
  }
  return true;
}

void Arena::Unclaim(size_t start, size_t count) {
  const size_t end = start + count;
  for (size_t word = start / kWordBits; word < WordsUpTo(end); ++word) {
    ClearBitsRelease(&used_[word], MaskIn(word, start, end));
  }
  if (start < LoadRelaxed(&first_free_)) StoreRelaxed(&first_free_, start);
}

bool Arena::CommitUpTo(size_t end) {
  while (true) {
    const size_t committed = LoadAcquire(&committed_);
    if (committed >= end) return true;
    // Grow by a quarter to keep system calls rare; 4 MiB at least, where the
    // system grants it, and otherwise just what is needed.
    size_t wanted = committed + committed / 4;
    if (wanted < committed + 64) wanted = committed + 64;
    if (wanted < end) wanted = end;
    if (wanted > units_) wanted = units_;
    const size_t page = os::PageSize();
    // A program may limit itself after the arena was reserved: that counts, so
    // it has more than it may have already, and the system would not refuse to
    // commit it. Asked only then: a filter of system calls that lets us through
    // otherwise may not expect the question.
    const size_t limit = committed != 0 && os::AddressSpaceIsUsedUp()
                             ? os::AddressSpaceLimit()
                             : SIZE_MAX;
    for (;;) {
      const uintptr_t from = reinterpret_cast<uintptr_t>(table_ + committed);
      const uintptr_t from_page = from & ~(page - 1);
      if (wanted << unit_shift_ <= limit &&
          os::Commit(reinterpret_cast<void*>(from_page),
                     (wanted - committed) * sizeof(Run) + (from - from_page)) &&
          os::Commit(base_ + (committed << unit_shift_), (wanted - committed)
                                                             << unit_shift_)) {
        break;
      }
      if (wanted == end) return false;
      wanted = end;
    }
    CasFull(&committed_, committed, wanted);
  }
}

size_t Arena::CountDirty(size_t start, size_t count) const {
  const size_t end = start + count;
  size_t dirty = 0;
  for (size_t word = start / kWordBits; word < WordsUpTo(end); ++word) {
    dirty += PopCount(LoadRelaxed(&dirty_[word]) & MaskIn(word, start, end));
  }
  return dirty;
}

// The units are ours, but their neighbours in the word are not: hence atomic.
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
    if (dirty != 0) ClearBitsRelease(&dirty_[word], dirty);
  }
}

// Adds to both counts; wrapped values subtract.
void Arena::AddToCounts(size_t used, size_t dirty) {
  AddRelaxed(&counts_, used + (dirty << kCountBits));
}

// Counts units that we have claimed as used. True if none is dirty.
bool Arena::BeginUse(size_t start, size_t count) {
  const size_t dirty = CountDirty(start, count);
  AddToCounts(count, ~dirty + 1);
  RaiseTo(&peak_used_, used_units());
  return dirty == 0;
}

Arena::Taken Arena::Take(size_t count, size_t alignment) {
  Taken taken;
  size_t from = LoadRelaxed(&first_free_);
  while (true) {
    const size_t start = FindFree(from, count, alignment);
    // The hint may be wrong; look everywhere before failing or growing.
    if (from != 0 &&
        (start == kNone || start + count > LoadRelaxed(&committed_))) {
      from = 0;
      continue;
    }
    if (start == kNone) return taken;
    if (!Claim(start, count)) {
      from = start;
      continue;
    }
    if (!CommitUpTo(start + count)) {
      Unclaim(start, count);
      taken.refused = true;
      return taken;
    }
    if (count == 1 && alignment <= unit_bytes()) {
      StoreRelaxed(&first_free_, start + 1);
    }
    taken.zeroed = BeginUse(start, count);
    taken.run = table_ + start;
    taken.run->units = static_cast<uint32_t>(count);
    taken.run->base = AddressOf(taken.run);
    return taken;
  }
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
  Unclaim(start, count);
}

bool Arena::Resize(Run* run, size_t count) {
  const size_t start = static_cast<size_t>(run - table_);
  const size_t old_count = run->units;
  if (count <= old_count) {
    run->units = static_cast<uint32_t>(count);
    if (count == old_count) return true;
    Run* tail = run + count;
    tail->units = static_cast<uint32_t>(old_count - count);
    Return(tail, true);
    return true;
  }
  const size_t end = start + old_count;
  const size_t more = count - old_count;
  if (end + more > this->end() || !Claim(end, more)) return false;
  if (!CommitUpTo(end + more)) {
    Unclaim(end, more);
    return false;
  }
  BeginUse(end, more);
  run->units = static_cast<uint32_t>(count);
  return true;
}

// Purges the units `bits` of a word, which we have claimed. False if the system
// refused some.
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
  // Some may have been taken and purged by others before we claimed them.
  const AO_t dirty = LoadRelaxed(&dirty_[word]) & purged;
  ClearBitsRelease(&dirty_[word], dirty);
  AddToCounts(0, ~PopCount(dirty) + 1);
  return purged == bits;
}

void Arena::PurgeExcess(size_t allowed) {
  if (!mapped_) return;
  bool refused = false;
  for (size_t word = WordsUpTo(LoadRelaxed(&committed_)); word-- > 0;) {
    if (refused || dirty_units() <= allowed) return;
    // A few units at a time: they are lost if we never come back.
    for (size_t unit = 0; unit < kWordBits && !refused; unit += kPurgeUnits) {
      const AO_t group = MaskIn(0, unit, unit + kPurgeUnits);
      const AO_t used = LoadRelaxed(&used_[word]);
      const AO_t bits = LoadRelaxed(&dirty_[word]) & ~used & group;
      if (bits == 0 || !CasAcquire(&used_[word], used, used | bits)) continue;
      refused = !PurgeUnits(word, bits);
      ClearBitsRelease(&used_[word], bits);
      if (word * kWordBits < LoadRelaxed(&first_free_)) {
        StoreRelaxed(&first_free_, word * kWordBits);
      }
    }
  }
}

}  // namespace aomalloc
