#include "core/heap/run_cache.h"

#include "core/arena/ceiling.h"
#include "core/arena/memory.h"
#include "core/arena/tails.h"

namespace aomalloc {
namespace {

// Memory that an idle thread keeps is of no use to others. So only some caches
// may keep runs: the first kAlways that want to, and one more for each 256
// units in use in the first mapped arena. RunCache*, or 0.
constexpr size_t kAlways = 16;
constexpr size_t kPlaces = 256;
AtomicWord places[kPlaces];

// How many of the places may be taken now.
size_t Places() {
  const Arena* arena = memory::MappedAt(0);
  if (arena == nullptr) return kAlways;
  const size_t more = arena->used_units() / 16 / RunCache::kMaxUnits;
  return more < kPlaces - kAlways ? kAlways + more : kPlaces;
}

// Takes a place for a cache, for which `word` stands. Returns 1 + its index, or
// 0 if there is none.
uint32_t TakePlace(AO_t word) {
  const size_t count = Places();
  for (uint32_t i = 0; i < count; ++i) {
    if (LoadRelaxed(&places[i]) == 0 && CasRelaxed(&places[i], 0, word)) {
      return i + 1;
    }
  }
  return 0;
}

uint32_t FindPlace(AO_t word) {
  for (uint32_t i = 0; i < kPlaces; ++i) {
    if (LoadRelaxed(&places[i]) == word) return i + 1;
  }
  return 0;
}

}  // namespace

bool RunCache::Keep(Run* run) {
  if (run->units > kMaxUnits || ceiling::IsSet()) return false;
  if (place_ == 0) {
    place_ = TakePlace(AsWord());
    if (place_ == 0) return false;
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
      tails::Forget(run);
      memory::Return(run, /*dirty=*/true);
    }
  }
}

void RunCache::GiveUp() {
  Flush();
  if (place_ == 0) return;
  CasRelaxed(&places[place_ - 1], AsWord(), 0);
  Commit(&place_, uint32_t{0});
}

void RunCache::Recount() {
  units_ = 0;
  for (const Run* run : kept_) {
    for (; run != nullptr; run = run->next) units_ += run->units;
  }
  place_ = FindPlace(AsWord());
}

}  // namespace aomalloc
