#include "core/arena/ceiling.h"

namespace aomalloc::ceiling {

AtomicWord limit = 0;
AtomicWord reserved = 0;

void Set(size_t bytes, size_t in_use) {
  StoreRelaxed(&reserved, in_use);
  StoreRelaxed(&limit, bytes);
}

bool ReserveSlow(size_t bytes) {
  AO_t old;
  do {
    old = LoadRelaxed(&reserved);
    const AO_t most = LoadRelaxed(&limit);
    if (old > most || bytes > most - old) return false;
    // Acquire: the units are taken after this. It pairs with nothing, as
    // Release orders nothing: the bits of the units do that (arena.h).
  } while (!CasAcquire(&reserved, old, old + bytes));
  return true;
}

}  // namespace aomalloc::ceiling
