// Run caches: free runs that a heap keeps for its next slabs and large blocks.
// So a program that calls malloc and free by turns needs no atomic operation
// and takes no page fault.
//
// Who touches what: the operation that holds the heap's claim, by plain loads
// and stores. The arena does not know of the cache. There a kept run is in use;
// its kind is kFree, so that no address in it is taken for a block.
//
// Commit: Take and Keep commit with the store to the list.
//
// Interruption: an operation that is abandoned before that store (Keep) or
// after it (Take) loses the run in hand. The count of units may then be wrong
// until Recount. The right to keep runs is a place in a table that holds the
// cache's address, so Recount also finds a place that an abandoned operation
// took. One that is abandoned while it gives its place up may leave two caches
// with one place, until either gives it up.
#ifndef AOMALLOC_CORE_HEAP_RUN_CACHE_H_
#define AOMALLOC_CORE_HEAP_RUN_CACHE_H_

#include "core/arena/run.h"
#include "core/base/atomics.h"

namespace aomalloc {

class RunCache {
 public:
  // The most units that a cache keeps, and the longest run that it takes: 1 MiB
  // of mapped memory, 64 KiB of the static heap.
  static constexpr size_t kMaxUnits = 16;

  // Takes a run of exactly `units` units. Null if none is kept. Its memory may
  // have any contents.
  Run* Take(size_t units) {
    if (units > kMaxUnits) return nullptr;
    Run** list = &kept_[units - 1];
    Run* run = *list;
    if (run == nullptr) return nullptr;
    Commit(list, run->next);
    units_ -= run->units;
    return run;
  }

  // Keeps a run. All runs of one cache have units of the same size. False if
  // the run is too long, if there is a ceiling, or if enough other caches keep
  // runs.
  bool Keep(Run* run);

  // True if it keeps any. Others may ask at any time (Glance).
  bool KeepsAny() const { return Glance(units_) != 0; }

  // Gives all runs back to their arenas, and gives up the right to keep any.
  void GiveUp();

  // Counts the units anew, and looks for its place, after an operation was
  // abandoned.
  void Recount();

 private:
  // What stands for this cache in the table.
  AO_t AsWord() const { return reinterpret_cast<AO_t>(this); }
  void Flush();

  Run* kept_[kMaxUnits] = {};  // lists, by units - 1
  uint32_t units_ = 0;         // units in all lists
  uint32_t place_ = 0;         // 1 + index in the table; 0: no right to keep
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_RUN_CACHE_H_
