// The neighbour: another allocator that the program can reach, too. Parts of
// the program may pass its blocks to us. So a pointer that is not ours is
// offered to the neighbour before it is reported as misuse.
//
// The library that is preloaded sets `neighbour`, once, before there are
// threads (preload/libc_heap.cc). Otherwise there is no neighbour.
#ifndef AOMALLOC_CORE_NEIGHBOUR_H_
#define AOMALLOC_CORE_NEIGHBOUR_H_

#include <cstddef>

namespace aomalloc {

// The functions of the neighbour; none is called with null. `owns` is true if
// the others may be called with `ptr`. It takes any pointer and is signal-safe.
// The others do what free, realloc and malloc_usable_size do, and need not be
// signal-safe. `size` is not 0.
struct Neighbour {
  bool (*owns)(const void* ptr);
  void (*free)(void* ptr);
  void* (*reallocate)(void* ptr, size_t size);
  size_t (*usable_size)(const void* ptr);
};

// Written once; null if there is none.
extern const Neighbour* neighbour __attribute__((visibility("hidden")));

// The neighbour if it owns `ptr`, which is not null; otherwise null.
inline const Neighbour* NeighbourOf(const void* ptr) {
  return neighbour != nullptr && neighbour->owns(ptr) ? neighbour : nullptr;
}

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_NEIGHBOUR_H_
