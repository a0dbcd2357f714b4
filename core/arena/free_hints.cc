#include "core/arena/free_hints.h"

namespace aomalloc {

void FreeHints::Raise(size_t group, size_t most) {
  AtomicWord* hint = &hints_[group];
  AO_t seen;
  do {
    // Acquire: if it was lowered meanwhile, what the one who did so knew of.
    seen = LoadAcquire(hint);
    if ((seen & kLowering) == 0 && MostOf(seen) >= most) return;
    if ((seen & kLowering) != 0) most = kMost;
    // Release: who reads this before the bits, reads that they are free.
  } while (!CasRelease(hint, seen, Next(seen, most)));
}

AO_t FreeHints::BeginLowering(size_t group) {
  AtomicWord* hint = &hints_[group];
  const AO_t seen = LoadRelaxed(hint);
  const AO_t begun = Next(seen, kMost) | kLowering;
  // Acquire: who raised it made the units free before.
  if (!CasAcquire(hint, seen, begun)) return 0;
  BarrierAfterUpdate();
  return begun;
}

void FreeHints::Lower(size_t group, AO_t begun, size_t most) {
  // Release: the look at the bits comes before.
  CasRelease(&hints_[group], begun, Next(begun, most));
}

}  // namespace aomalloc
