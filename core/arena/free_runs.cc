#include "core/arena/free_runs.h"

namespace aomalloc {
namespace {

constexpr size_t kWordBits = Bitmap::kWordBits;
constexpr size_t kGroupWords = FreeHints::kGroupWords;
constexpr size_t kGroupUnits = FreeHints::kGroupUnits;

// The bits of `low` with which a run of `count` ones begins, which may reach
// into the next word, `high`. At most kWordBits are wanted.
AO_t Starts(AO_t low, AO_t high, size_t count) {
  // A bit stays if `length` ones begin with it. Twice as many do if as many
  // begin behind them.
  for (size_t length = 1; low != 0 && length < count;) {
    const size_t step = length < count - length ? length : count - length;
    low &= low >> step | high << (kWordBits - step);
    high &= high >> step;
    length += step;
  }
  return low;
}

size_t Least(size_t a, size_t b) { return a < b ? a : b; }

}  // namespace

size_t FreeRuns::AlignedUnit(size_t unit, size_t alignment) const {
  const uintptr_t address =
      reinterpret_cast<uintptr_t>(base_) + (unit << unit_shift_);
  return unit + (((~address + 1) & (alignment - 1)) >> unit_shift_);
}

// The units of a word whose addresses are multiples of `alignment`.
AO_t FreeRuns::AlignedIn(size_t word, size_t alignment) const {
  const size_t first = word * kWordBits;
  const size_t offset = AlignedUnit(first, alignment) - first;
  if (offset >= kWordBits) return 0;
  const size_t step = alignment >> unit_shift_;
  if (step <= 1) return ~AO_t{0} << offset;
  if (step >= kWordBits) return AO_t{1} << offset;
  return ~AO_t{0} / ((AO_t{1} << step) - 1) << offset;
}

size_t FreeRuns::HintFor(size_t alignment) const {
  size_t hint = 0;
  while (hint + 1 < FreeHints::kAlignments && AlignmentOf(hint) < alignment) {
    ++hint;
  }
  return hint;
}

size_t FreeRuns::FindRun(size_t from, size_t count, size_t alignment,
                         bool by_hints) {
  const size_t at_once = Least(count, FreeHints::kMost);
  while (true) {
    const size_t start = FindStart(from, at_once, alignment, by_hints);
    const size_t end = LoadRelaxed(end_);
    if (start >= end || count > end - start) return kNone;
    // The line of bits is not looked at once more: others may have it by now.
    if (count == at_once) return start;
    const size_t stop = FreeUpTo(start + at_once, start + count);
    if (stop == start + count) return start;
    from = stop + 1;
  }
}

// FindRun for at most kMost units.
size_t FreeRuns::FindStart(size_t from, size_t count, size_t alignment,
                           bool by_hints) {
  const size_t words = Bitmap::WordsUpTo(LoadRelaxed(end_));
  const size_t hint = HintFor(alignment);
  size_t word = from / kWordBits;
  AO_t mask = ~AO_t{0} << from % kWordBits;
  while (word < words) {
    const size_t group = word / kGroupWords;
    const size_t behind = Least((group + 1) * kGroupWords, words);
    if (by_hints && hints_.Most(group, hint) < count) {
      word = behind;
      mask = ~AO_t{0};
      continue;
    }
    // Units below `from` are not looked at.
    bool seen = word % kGroupWords != 0 || mask != ~AO_t{0};
    for (AO_t free = FreeIn(word); word < behind; ++word) {
      const AO_t next = FreeIn(word + 1);
      AO_t starts = Starts(free, next, count) & mask;
      free = next;
      mask = ~AO_t{0};
      if (starts != 0) starts &= AlignedIn(word, AlignmentOf(hint));
      if (starts == 0) continue;
      seen = true;
      starts &= AlignedIn(word, alignment);
      if (starts != 0) {
        return word * kWordBits + Bitmap::CountTrailingZeros(starts);
      }
    }
    if (by_hints && !seen) LowerHint(group, hint);
  }
  return kNone;
}

// The first unit in [from, end) that is not free, or `end`.
size_t FreeRuns::FreeUpTo(size_t from, size_t end) const {
  for (size_t word = from / kWordBits; word < Bitmap::WordsUpTo(end); ++word) {
    const AO_t bits = ~FreeIn(word) & Bitmap::MaskIn(word, from, end);
    if (bits != 0) return word * kWordBits + Bitmap::CountTrailingZeros(bits);
  }
  return end;
}

// How many units are free just before `unit`; kMost if there are more.
size_t FreeRuns::FreeBefore(size_t unit) const {
  const size_t word = unit / kWordBits;
  const size_t bits = unit % kWordBits;
  size_t count = 0;
  if (bits != 0) {
    count = Bitmap::CountLeadingZeros(~(FreeIn(word) << (kWordBits - bits)));
    if (count != bits) return count;
  }
  if (word != 0) count += Bitmap::CountLeadingZeros(~FreeIn(word - 1));
  return Least(count, FreeHints::kMost);
}

// How many units are free from `unit` on; kMost if there are more.
size_t FreeRuns::FreeFrom(size_t unit) const {
  const size_t word = unit / kWordBits;
  const size_t bits = unit % kWordBits;
  size_t count = Bitmap::CountTrailingZeros(~(FreeIn(word) >> bits));
  if (count == kWordBits - bits) {
    count += Bitmap::CountTrailingZeros(~FreeIn(word + 1));
  }
  return Least(count, FreeHints::kMost);
}

void FreeRuns::BecameFree(size_t start, size_t count) {
  const size_t first = start - FreeBefore(start);
  const size_t end = start + count;
  const size_t behind = end + FreeFrom(end);
  for (size_t hint = 0; hint < FreeHints::kAlignments; ++hint) {
    size_t at = AlignedUnit(first, AlignmentOf(hint));
    if (at >= end) return;  // then no unit is aligned by more, either
    while (at < end) {
      const size_t group = at / kGroupUnits;
      hints_.Raise(group, hint, Least(behind - at, FreeHints::kMost));
      at = AlignedUnit((group + 1) * kGroupUnits, AlignmentOf(hint));
    }
  }
}

void FreeRuns::LowerHint(size_t group, size_t hint) {
  const AO_t begun = hints_.BeginLowering(group, hint);
  if (begun == 0) return;
  const size_t first = group * kGroupWords;
  const size_t behind =
      Least(first + kGroupWords, Bitmap::WordsUpTo(LoadRelaxed(end_)));
  size_t most = 0;
  AO_t free = FreeIn(first);
  for (size_t word = first; word < behind; ++word) {
    const AO_t next = FreeIn(word + 1);
    AO_t starts = Starts(free, next, most + 1);
    if (starts != 0) starts &= AlignedIn(word, AlignmentOf(hint));
    while (starts != 0 && ++most < FreeHints::kMost) {
      // Those behind whose run there is one more.
      starts &= free >> most | next << (kWordBits - most);
    }
    if (most == FreeHints::kMost) break;
    free = next;
  }
  hints_.Lower(group, hint, begun, most);
}

}  // namespace aomalloc
