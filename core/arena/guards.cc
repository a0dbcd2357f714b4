#include "core/arena/guards.h"

#include "core/base/os_memory.h"

namespace aomalloc::guards {
namespace {

AtomicWord mappings;  // runs that have a guard that is a mapping
AtomicWord inside;    // not 0 if there may be guards inside mappings

}  // namespace

void Put(Run* run, char* start, size_t bytes) {
  if (run->guarded || LoadRelaxed(&mappings) < kMostMappings) {
    // Adjacent guards are one mapping.
    if (!run->guarded) AddRelaxed(&mappings, 1);
    run->guarded = true;
    if (os::Forbid(start, bytes)) return;
  }
  if (os::Guard(start, bytes)) {
    StoreRelaxed(&inside, 1);
  } else {
    os::UndoGuard(start, bytes);  // Guard may have acted on some pages.
  }
}

bool Lift(char* start, size_t bytes) {
  return (LoadRelaxed(&inside) == 0 || os::UndoGuard(start, bytes)) &&
         os::MakeAccessible(start, bytes);
}

bool Remove(Run* run, size_t bytes, bool* dirty) {
  // This needs no further mapping, so it works in a process that has as many as
  // it may have. If it is refused, the pages are replaced by new ones.
  *dirty = Lift(run->base, bytes);
  if (!*dirty && !os::Renew(run->base, bytes)) return false;
  if (run->guarded) AddRelaxed(&mappings, ~AO_t{0});
  run->guarded = false;
  return true;
}

}  // namespace aomalloc::guards
