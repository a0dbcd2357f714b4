// Slabs: the blocks of one run.
//
// Who touches what: only an operation that holds the claim on the slab's owner
// calls anything here, so these are plain loads and stores; the compiler
// barriers of the claim keep them inside it.
//
// `used` counts the blocks that are in somebody's hands (remote frees that are
// still to be drained included) and one more while the slab is pinned, so that
// a free sees 0 exactly when something has to be done about the slab:
//
//   listed, pinned    head of its list, malloc's slab: never 0
//   listed            not the head: 0 means empty, give it back
//   not listed        full: `used` is set to 1 and the count kept in
//                     `used_while_full`, so that the first free sees 0
//
// Interruption: Pop commits with the store to `free`, Push likewise. Pop counts
// after it and Push before it, so an operation that never resumes leaves `used`
// right, or too low by the block that it had in hand, which is lost; never too
// low by a block that somebody has. When the slab is emptied and used again,
// even that block comes back.
#ifndef AOMALLOC_CORE_SLAB_H_
#define AOMALLOC_CORE_SLAB_H_

#include "core/run.h"
#include "core/size_class.h"

namespace aomalloc::slab {

// Keeps the compiler from moving the store that commits.
inline void Commit(Block** word, Block* value) {
  CompilerBarrier();
  *const_cast<Block* volatile*>(word) = value;
  CompilerBarrier();
}

// Takes a block off the free list; null if it is empty.
inline Block* Pop(Run* slab) {
  Block* block = slab->free;
  if (__builtin_expect(block == nullptr, 0)) return nullptr;
  Commit(&slab->free, block->next);
  ++slab->used;
  return block;
}

// Puts a block on the free list. True if `used` is 0 now; or below, when the
// operation that had to act on 0 was abandoned before it did.
inline bool Push(Run* slab, Block* block) {
  const bool zero = --slab->used <= 0;
  block->next = slab->free;
  Commit(&slab->free, block);
  return zero;
}

inline size_t BlockSize(const Run* slab) {
  return slab->block_granules * kGranule;
}

// Makes a slab for `size_class` of a run whose memory begins at `base` and has
// `bytes`. Not listed, not pinned, nothing carved.
void Init(Run* slab, char* base, size_t bytes, SizeClass size_class);

// Carves some blocks, about a page of them. False if all are carved already.
bool Carve(Run* slab);

// The blocks on the free list.
size_t CountFree(const Run* slab);

// Bytes a slab of this class takes in the static heap: a few pages, chosen so
// that little is left over behind the last block.
size_t StaticBytes(SizeClass size_class);

// The start of the block that holds `address`, which is in the slab.
char* BlockStart(const Run* slab, const void* address);

// The slab's invariants: counts agree, free blocks lie where blocks lie.
bool IsValid(const Run* slab);

}  // namespace aomalloc::slab

#endif  // AOMALLOC_CORE_SLAB_H_
