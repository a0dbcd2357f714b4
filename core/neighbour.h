// The allocator beside this one, if there is one that the program can reach as
// well: blocks of it are given to us by those who know no better. A pointer
// that is not ours is offered to it before it is reported as misuse.
//
// Whoever loads the allocator into programs says who that is, once, before
// there are threads. By itself the allocator has no neighbour.
#ifndef AOMALLOC_CORE_NEIGHBOUR_H_
#define AOMALLOC_CORE_NEIGHBOUR_H_

#include <cstddef>

namespace aomalloc {

// What it can do. All are for pointers other than null; `owns` tells for any
// whether the others may be called with it, and is signal-safe.
struct Neighbour {
  bool (*owns)(const void* ptr);
  void (*free)(void* ptr);
  void* (*reallocate)(void* ptr, size_t size);
  size_t (*usable_size)(const void* ptr);
};

// Written once; null: none.
extern const Neighbour* neighbour __attribute__((visibility("hidden")));

// The neighbour, if it owns `ptr`; else null.
inline const Neighbour* NeighbourOf(const void* ptr) {
  return neighbour != nullptr && neighbour->owns(ptr) ? neighbour : nullptr;
}

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_NEIGHBOUR_H_
