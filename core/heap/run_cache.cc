#include "core/heap/run_cache.h"

#include "core/arena/ceiling.h"
#include "core/arena/memory.h"

namespace aomalloc {
namespace {

// Memory that an idle thread keeps is of no use to others. So only some caches
// may keep runs: the first kMaxShares that want to, and one more for each 256
// units in use in the first mapped arena.
constexpr size_t kMaxShares = 16;
AtomicWord shares;

bool TakeShare() {
  const size_t units = RunCache::kMaxUnits;
  const Arena* arena = memory::ArenaAt(1);
  const size_t in_proportion =
      arena != nullptr ? arena->used_units() / 16 / units : 0;
  // A hint: caches that ask at the same time may get too many shares.
  if (LoadRelaxed(&shares) >= kMaxShares + in_proportion) return false;
  AddRelaxed(&shares, 1);
  return true;
}

}  // namespace

bool RunCache::Keep(Run* run) {
  if (run->units > kMaxUnits || ceiling::IsSet()) return false;
  if (!has_share_) {
    has_share_ = TakeShare();
    if (!has_share_) return false;
  }
  if (units_ + run->units > kMaxUnits) Flush();
  Run** list = &kept_[run->units - 1];
  run->kind = RunKind::kFree;
  run->next = *list;
  units_ += run->units;
  Commit(list, run);
  return true;
}

void RunCache::Flush() {
  for (size_t units = 1; units <= kMaxUnits; ++units) {
    while (Run* run = Take(units)) {
      memory::Return(run, /*dirty=*/true);
    }
  }
}

void RunCache::GiveUp() {
  Flush();
  if (!has_share_) return;
  has_share_ = false;
  AddRelaxed(&shares, ~AO_t{0});
}

void RunCache::Recount() {
  units_ = 0;
  for (const Run* run : kept_) {
    for (; run != nullptr; run = run->next) units_ += run->units;
  }
}

}  // namespace aomalloc
