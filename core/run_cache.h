// Run caches: free runs that a heap keeps for its next slabs and large blocks,
// so that taking turns with malloc and free costs no atomic operation and no
// page fault.
//
// Who touches what: as with all of a heap, the operation that holds its claim,
// by plain loads and stores. The arena knows nothing of it: a kept run is in
// use there, and its kind is kFree, so it is nobody's block.
//
// Interruption: Take and Keep commit with the store to the list; an operation
// abandoned before it (Keep) or after it (Take) loses the run in hand. The
// count of units may then be wrong until Recount.
#ifndef AOMALLOC_CORE_RUN_CACHE_H_
#define AOMALLOC_CORE_RUN_CACHE_H_

#include "core/run.h"

namespace aomalloc {

class RunCache {
 public:
  // The most a cache keeps, and the longest run: 1 MiB of mapped memory, 64 KiB
  // of the static heap.
  static constexpr size_t kMaxUnits = 16;

  // A run of so many units; null if none is kept. Its memory may be other than
  // zero.
  Run* Take(size_t units) {
    if (units > kMaxUnits) return nullptr;
    Run** list = &kept_[units - 1];
    Run* run = *list;
    if (run == nullptr) return nullptr;
    Commit(list, run->next);
    units_ -= run->units;
    return run;
  }

  // Keeps a run. All runs of a cache are of units of one size. False if it may
  // not.
  bool Keep(Run* run);

  // Gives all runs back to their arenas, and the right to keep any.
  void GiveUp();

  // Counts anew after an operation was abandoned.
  void Recount();

 private:
  void Flush();

  Run* kept_[kMaxUnits] = {};  // lists, by units - 1
  uint32_t units_ = 0;         // in all lists
  bool has_share_ = false;     // of what all caches may keep
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_RUN_CACHE_H_
