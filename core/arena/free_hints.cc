#include "core/arena/free_hints.h"

namespace aomalloc {

void FreeHints::Raise(size_t group, size_t hint, size_t most) {
  AtomicWord* word = At(group, hint);
  AO_t seen;
  do {
    // Acquire: if it was lowered meanwhile, what the one who did so knew of.
    seen = LoadAcquire(word);
    if ((seen & kLowering) == 0 && MostOf(seen) >= most) return;
    if ((seen & kLowering) != 0) most = kMost;
    // Release: who reads this before the bits, reads that they are free.
  } while (!CasRelease(word, seen, Next(seen, most)));
}

AO_t FreeHints::BeginLowering(size_t group, size_t hint) {
  AtomicWord* word = At(group, hint);
  const AO_t seen = LoadRelaxed(word);
  const AO_t begun = Next(seen, kMost) | kLowering;
  // Acquire: who raised it made the units free before.
  if (!CasAcquire(word, seen, begun)) return 0;
  BarrierAfterUpdate();
  return begun;
}

void FreeHints::Lower(size_t group, size_t hint, AO_t begun, size_t most) {
  // Release: the look at the bits comes before.
  CasRelease(At(group, hint), begun, Next(begun, most));
}

}  // namespace aomalloc
