// Arenas: how free units are purged.
#include "core/arena/arena.h"
#include "core/base/os_memory.h"
#include "core/base/probe.h"

namespace aomalloc {
namespace {

// How many units of small pages are purged at a time: if the operation stops
// there, they are lost.
constexpr size_t kPurgeUnits = 4;

// A huge page of which so many units are in use, or fewer, is mostly free.
constexpr size_t kFew = HugePages::kUnits / 4;

}  // namespace

// Purges the units `bits` of a word, which the caller has marked.
void Arena::PurgeUnits(size_t word, AO_t bits, Sweep* sweep) {
  AO_t rest = bits;
  AO_t purged = 0;
  while (rest != 0) {
    const size_t first = Bitmap::CountTrailingZeros(rest);
    const size_t length = Bitmap::CountTrailingZeros(~(rest >> first));
    const AO_t mask = Bitmap::MaskIn(0, first, first + length);
    const size_t unit = word * kWordBits + first;
    probe::Purge(base_ + (unit << unit_shift_), length << unit_shift_);
    if (os::Purge(base_ + (unit << unit_shift_), length << unit_shift_)) {
      purged |= mask;
      AddRelaxed(&purges_, 1);
      AddRelaxed(&purged_, length);
    }
    rest &= ~mask;
  }
  // Other threads may have taken some of the units, and purged or cleared them,
  // before the caller marked them: these are not dirty any more. Others of a
  // huge page never were.
  const AO_t dirty = LoadRelaxed(&dirty_[word]) & purged;
  // LetGo publishes the bits.
  ClearBits(&dirty_[word], dirty);
  const size_t count = Bitmap::PopCount(dirty);
  AddToCounts(0, ~count + 1);
  sweep->purged += count;
  if (purged != bits) ++sweep->refusals;
}

void Arena::Clean(size_t start, size_t end) {
  Sweep sweep;
  for (size_t word = start / kWordBits; word < Bitmap::WordsUpTo(end); ++word) {
    const AO_t dirty =
        LoadRelaxed(&dirty_[word]) & Bitmap::MaskIn(word, start, end);
    if (dirty != 0) PurgeUnits(word, dirty, &sweep);
  }
}

// Lets go of units of a word that were purged.
void Arena::LetGo(size_t word, AO_t bits) {
  // Release: as in Unmark. The next user comes after the purge, and sees the
  // `dirty` bits that it cleared.
  ClearBitsRelease(&used_[word], bits);
  const size_t first = Bitmap::CountTrailingZeros(bits);
  const size_t last = kWordBits - 1 - Bitmap::CountLeadingZeros(bits);
  BecameFree(word * kWordBits + first, last - first + 1);
}

// Purges units of a word, `bits`, which were free when `used` was read.
void Arena::PurgeFree(size_t word, AO_t used, AO_t bits, Sweep* sweep) {
  // Acquire: as in Mark. The purge comes after what the last user wrote.
  if (!CasAcquire(&used_[word], used, used | bits)) return;
  PurgeUnits(word, bits, sweep);
  LetGo(word, bits);
}

// The same for all free units of a huge or broken page, also those that are not
// dirty: they may be resident, because the page is.
void Arena::PurgeFreeOfHuge(size_t word, AO_t used, AO_t page, Sweep* sweep) {
  const AO_t bits = page & ~used;
  if (!CasAcquire(&used_[word], used, used | bits)) return;  // as above
  HugePages* pages = growth_->huge_pages();
  const size_t unit = word * kWordBits + Bitmap::CountTrailingZeros(page);
  if (bits != page) pages->Break(unit, Bitmap::WordsUpTo(end()) * kWordBits);
  PurgeUnits(word, bits, sweep);
  if (bits == page && pages->IsBroken(unit)) pages->Mend(unit);
  LetGo(word, bits);
}

// Purges the free units of a page's worth of units.
void Arena::PurgePage(size_t word, AO_t page, Sweep* sweep) {
  const size_t first = Bitmap::CountTrailingZeros(page);
  const size_t unit = word * kWordBits + first;
  const AO_t used = LoadRelaxed(&used_[word]);
  const AO_t dirty = LoadRelaxed(&dirty_[word]) & ~used & page;
  if ((page & ~used) == 0 || (dirty == 0 && !sweep->all)) return;
  const HugePages* pages = growth_ == nullptr ? nullptr : growth_->huge_pages();
  const size_t in_use = Bitmap::PopCount(used & page);
  // A broken page may still be a huge one: beyond some number of mappings, or
  // if the system has refused.
  if (pages != nullptr &&
      (pages->IsHuge(unit) || (sweep->all && pages->IsBroken(unit)))) {
    if (in_use > sweep->fullest) {
      sweep->left += Bitmap::PopCount(sweep->all ? page & ~used : dirty);
    } else if (dirty != 0 || in_use != 0) {
      PurgeFreeOfHuge(word, used, page, sweep);
    }
    return;
  }
  if (dirty != 0 && in_use == 0 && pages != nullptr && pages->IsBroken(unit)) {
    return PurgeFreeOfHuge(word, used, page, sweep);
  }
  for (size_t n = first; n < first + HugePages::kUnits; n += kPurgeUnits) {
    if (sweep->GivesUp()) return;
    // Looked at anew: others take and return units meanwhile.
    const AO_t now = LoadRelaxed(&used_[word]);
    const AO_t bits = LoadRelaxed(&dirty_[word]) & ~now &
                      Bitmap::MaskIn(0, n, n + kPurgeUnits);
    if (bits != 0) PurgeFree(word, now, bits, sweep);
  }
}

// Looks whether a group has dirty free units, and lowers its hint if not.
void Arena::LowerDirtyHint(size_t group) {
  const AO_t begun = hints_.BeginLowering(group, FreeHints::kDirty);
  if (begun == 0) return;
  const size_t first = group * FreeHints::kGroupWords;
  const size_t most = first + FreeHints::kGroupWords;
  const size_t there = Bitmap::WordsUpTo(this->end());
  const size_t end = most < there ? most : there;
  AO_t dirty = 0;
  for (size_t word = first; word < end; ++word) dirty |= FreeDirtyIn(word);
  hints_.Lower(group, FreeHints::kDirty, begun,
               dirty == 0 ? 0 : FreeHints::kMost);
}

// Purges all of the arena, downwards.
void Arena::PurgeAll(Sweep* sweep) {
  const size_t top = Bitmap::WordsUpTo(end());
  const size_t from = LoadRelaxed(&purge_from_);
  size_t word = from != 0 && from < top ? from : top;
  size_t found = kNone;  // the last group in which there was a dirty unit
  while (word > 0 && (sweep->all || (sweep->purged < sweep->wanted &&
                                     dirty_units() > sweep->allowed))) {
    const size_t group = (word - 1) / FreeHints::kGroupWords;
    const size_t first = group * FreeHints::kGroupWords;
    if (hints_.Most(group, FreeHints::kDirty) == 0 && !sweep->all) {
      word = first;
      continue;
    }
    --word;
    if (FreeDirtyIn(word) != 0) found = group;
    for (size_t n = kWordBits; n > 0; n -= HugePages::kUnits) {
      PurgePage(word, Bitmap::MaskIn(0, n - HugePages::kUnits, n), sweep);
      // If the system refuses to purge some units, for example locked ones, the
      // rest is still tried. After a few refusals it is of little use: the next
      // call continues from there.
      if (sweep->GivesUp()) return StoreRelaxed(&purge_from_, word);
    }
    if (word == first && found != group) LowerDirtyHint(group);
  }
  if (from != 0) StoreRelaxed(&purge_from_, 0);
}

void Arena::PurgeExcess(size_t allowed, Effort effort, size_t spare) {
  if (!mapped_) return;
  Sweep sweep;
  sweep.insists = effort == Effort::kInsist;
  sweep.all = sweep.insists && allowed == 0;
  sweep.allowed = allowed;
  PurgeAll(&sweep);
  while (sweep.left != 0 && !sweep.GivesUp()) {
    sweep.fullest += kFew;
    const size_t share = used_units() / kSparedFraction;
    const bool is_full = effort == Effort::kEasy && sweep.fullest > kFew;
    sweep.allowed = allowed + (is_full && share > spare ? share : spare);
    // What was seen, and not what is counted: the count is too high for ever if
    // a thread has stopped, and no page need be broken for that.
    const bool is_excess = sweep.left > sweep.allowed;
    sweep.wanted = is_excess ? sweep.left - sweep.allowed : 0;
    sweep.left = 0;
    sweep.purged = 0;
    PurgeAll(&sweep);
  }
  const size_t dirty = dirty_units();
  StoreRelaxed(&spared_, dirty > allowed ? dirty - allowed : 0);
}

// How much of a huge page is in use, where free blocks of slabs do not count. A
// hint: other threads change their slabs meanwhile.
size_t Arena::BytesInUse(size_t page) const {
  const size_t first = page * HugePages::kUnits;
  size_t in_use = 0;
  for (size_t unit = first; unit < first + HugePages::kUnits; ++unit) {
    if (!InUse(unit)) continue;
    const Run& run = table_[unit];
    size_t bytes = unit_bytes();
    if (Glance(run.kind) == RunKind::kSlab) {
      const int blocks = Glance(run.list.used) + Glance(run.beyond);
      const size_t in_blocks = blocks < 0 ? 0
                                          : static_cast<size_t>(blocks) *
                                                run.block_granules * kGranule;
      if (in_blocks < bytes) bytes = in_blocks;
    }
    in_use += bytes;
  }
  return in_use;
}

bool Arena::BreakFor(const Run* run, bool insists) {
  if (growth_ == nullptr) return true;
  HugePages* pages = growth_->huge_pages();
  const auto unit = static_cast<size_t>(run - table_);
  if (!pages->IsHuge(unit)) return true;
  // A page of which little is free is worth more than that.
  constexpr size_t kLeastFree = HugePages::kBytes / 8;
  constexpr size_t kHalfFree = HugePages::kBytes / 2;
  const size_t in_use = BytesInUse(unit / HugePages::kUnits);
  if (HugePages::kBytes - in_use < (insists ? kLeastFree : kHalfFree)) {
    return false;
  }
  pages->Break(unit, Bitmap::WordsUpTo(end()) * kWordBits);
  return true;
}

}  // namespace aomalloc
