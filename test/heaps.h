// Heaps by themselves, without a thread that holds them.
#ifndef AOMALLOC_TEST_HEAPS_H_
#define AOMALLOC_TEST_HEAPS_H_

#include <vector>

#include "core/arena/memory.h"
#include "core/heap/heap.h"

namespace aomalloc {

inline Heap* NewHeap() {
  Heap* heap = new Heap;
  heap->Prepare();
  return heap;
}

// Allocates as an operation does.
inline Block* TakeFrom(Heap* heap, size_t size) {
  const SizeClass c = ClassOf(size);
  Block* block = heap->Pop(c);
  if (block == nullptr) block = heap->PopFromNext(c);
  if (block == nullptr) block = heap->Refill(c);
  if (block == nullptr) block = heap->Grow(c);
  return block;
}

// Slabs that belong to the heap, retired ones included.
inline std::vector<Run*> SlabsOf(const Heap* heap) {
  std::vector<Run*> slabs;
  Arena* arena;
  for (int i = 0; (arena = memory::ArenaAt(i)) != nullptr; ++i) {
    for (size_t unit = 0; unit < arena->end(); ++unit) {
      Run* run = arena->table() + unit;
      if (LoadRelaxed(&run->owner) == reinterpret_cast<AO_t>(heap)) {
        slabs.push_back(run);
      }
    }
  }
  return slabs;
}

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_HEAPS_H_
