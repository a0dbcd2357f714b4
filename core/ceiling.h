// The ceiling: how much memory the arenas may have in use, in all.
//
// Who touches what: SetLimit is called once, before there are threads; the rest
// by any thread and handler. Reserve commits with its compare-and-swap, before
// the units are taken, and Release comes after they were returned; so the sum
// is never below what is in use. Stopped between the two, an operation leaves
// reserved what it was about to take, or had just given back: its run, which it
// would have left in use otherwise.
#ifndef AOMALLOC_CORE_CEILING_H_
#define AOMALLOC_CORE_CEILING_H_

#include "core/atomics.h"
#include "core/likely.h"

namespace aomalloc::ceiling {

// Bytes that may be in use; 0 means no ceiling. Written once.
extern AtomicWord limit __attribute__((visibility("hidden")));
// Bytes in use or reserved, while there is a ceiling.
extern AtomicWord reserved __attribute__((visibility("hidden")));

inline bool IsSet() { return LoadRelaxed(&limit) != 0; }

// Puts the ceiling at `bytes`, of which `in_use` are in use.
void Set(size_t bytes, size_t in_use);

// Reserves `bytes`. False if they would go beyond the ceiling.
bool ReserveSlow(size_t bytes);
inline bool Reserve(size_t bytes) {
  return Likely(!IsSet()) || ReserveSlow(bytes);
}

// Gives back what was reserved. Orders nothing: the sum only bounds what is in
// use; units are handed from one user to the next by their bits (arena.h).
inline void Release(size_t bytes) {
  if (Unlikely(IsSet())) AddRelaxed(&reserved, ~bytes + 1);
}

// Bytes that can still be reserved.
inline size_t Room() {
  const AO_t most = LoadRelaxed(&limit);
  const AO_t now = LoadRelaxed(&reserved);
  return now < most ? most - now : 0;
}

}  // namespace aomalloc::ceiling

#endif  // AOMALLOC_CORE_CEILING_H_
