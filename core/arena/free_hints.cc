#include "core/arena/free_hints.h"

namespace aomalloc {

void FreeHints::RaiseFrom(size_t group, size_t hint, AO_t seen, size_t most) {
  AtomicWord* word = At(group, hint);
  do {
    // Release: who begins to lower it now reads that the units are free.
    const AO_t raised = Next(seen, (seen & kLowering) != 0 ? kMost : most);
    if (CasRelease(word, seen, raised)) return;
    seen = LoadAcquire(word);
  } while (IsLow(seen, most));
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
