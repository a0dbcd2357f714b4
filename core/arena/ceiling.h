// The ceiling: how much memory all arenas together may have in use.
//
// Who touches what: Set is called once, before there are threads. Any thread
// and handler may call the rest at any time.
//
// Commit: Reserve commits with its compare-and-swap, before the units are
// taken. Release commits with its addition, after the units were returned. So,
// in the order of each thread's program, the sum is never below what is in use.
//
// Interruption: an operation that stops between Reserve and taking the units,
// or between returning them and Release, leaves their bytes reserved for ever.
// They are the bytes of the run in hand, which would otherwise have stayed in
// use.
#ifndef AOMALLOC_CORE_ARENA_CEILING_H_
#define AOMALLOC_CORE_ARENA_CEILING_H_

#include "core/base/atomics.h"
#include "core/base/likely.h"

namespace aomalloc::ceiling {

// Bytes that may be in use; 0 if there is no ceiling. Written once.
extern AtomicWord limit __attribute__((visibility("hidden")));
// Bytes in use or reserved, while there is a ceiling.
extern AtomicWord reserved __attribute__((visibility("hidden")));

inline bool IsSet() { return LoadRelaxed(&limit) != 0; }

// Sets the ceiling to `bytes`, of which `in_use` are in use already.
void Set(size_t bytes, size_t in_use);

// Reserves `bytes`. False if the sum would exceed the ceiling.
bool ReserveSlow(size_t bytes);
inline bool Reserve(size_t bytes) {
  return Likely(!IsSet()) || ReserveSlow(bytes);
}

// Gives back bytes that were reserved. Orders nothing: the sum is only a bound,
// and the bits of the units order one user after another (arena.h).
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

#endif  // AOMALLOC_CORE_ARENA_CEILING_H_
