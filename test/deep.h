// Allocations from stacks that differ.
#ifndef AOMALLOC_TEST_DEEP_H_
#define AOMALLOC_TEST_DEEP_H_

#include <cstddef>

#include "core/allocator.h"

namespace aomalloc {

// Allocates a block from `depth` more calls.
[[gnu::noipa]] inline void* AllocateInDepth(int depth, size_t size) {
  void* block = depth == 0 ? Allocate(size) : AllocateInDepth(depth - 1, size);
  // Not a tail call.
  __asm__ volatile("" : : "r"(block) : "memory");
  return block;
}

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_DEEP_H_
