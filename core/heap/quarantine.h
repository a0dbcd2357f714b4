// The hardened build: freed blocks wait here, so that their memory is not used
// again at once.
//
// Who touches what: the operation that holds the heap's claim, by plain loads
// and stores.
//
// Commit: Exchange and Release commit with one store to a place.
//
// Interruption: abandoned before that store, Exchange loses the block that
// comes in. Abandoned after it, both lose the block that leaves.
#ifndef AOMALLOC_CORE_HEAP_QUARANTINE_H_
#define AOMALLOC_CORE_HEAP_QUARANTINE_H_

#include "core/arena/run.h"
#include "core/base/hardening.h"

namespace aomalloc {

class Quarantine {
 public:
  static constexpr size_t kBlocks = 256;
  static constexpr size_t kMaxBlockBytes = 4096;  // 1 MiB in all

  // Puts a block in a place that is chosen at random. Returns the block that
  // leaves that place, or null if it was empty.
  Block* Exchange(Block* block);

  // Takes one block out. Null if there is none.
  Block* Release();

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  static constexpr size_t kPlaces = hardening::kOn ? kBlocks : 1;

  Block* blocks_[kPlaces] = {};
  uintptr_t random_ = 0;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_QUARANTINE_H_
