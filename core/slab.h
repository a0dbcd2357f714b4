// Slabs: the blocks of one run.
//
// Who touches what: only an operation that holds the claim on the slab's owner
// calls anything here, so these are plain loads and stores; the compiler
// barriers of the claim keep them inside it.
//
// `used + beyond` is the number of blocks in somebody's hands (remote frees
// that are still to be drained included). It is split so that a free, which
// counts `used` down, sees 0 exactly when something has to be done about the
// slab:
//
//   head of its list  beyond is -1, so `used` never gets to 0: malloc's slab
//   listed            beyond is 0; `used` is 0 when the slab is empty: give it
//                     back
//   retired           was full and is not listed: `used` says how many frees
//                     make it worth listing again, `beyond` has the rest
//
// Interruption: Pop commits with the store to `free`, Push likewise. Pop counts
// after it and Push before it, so an operation that never resumes leaves `used`
// right, or too low by the block that it had in hand, which is lost; never too
// low by a block that somebody has. When the slab is emptied and used again,
// even that block comes back.
#ifndef AOMALLOC_CORE_SLAB_H_
#define AOMALLOC_CORE_SLAB_H_

#include "core/likely.h"
#include "core/run.h"
#include "core/size_class.h"

namespace aomalloc::slab {

// Takes a block off the free list; null if it is empty, or if the block's seal
// is broken: somebody wrote to it while it was free, and its link may not be
// followed.
inline Block* Pop(FreeList* list) {
  Block* block = list->free;
  if (Unlikely(block == nullptr)) return nullptr;
  if (Unlikely(!block->MayBeLinked())) return nullptr;
  Block* next = block->Next();
  Commit(&list->free, next);
  ++list->used;
  block->Unlink();
  __builtin_prefetch(next, 1);
  return block;
}

// Puts a block on the free list. True if `used` is 0 now; or below, when the
// operation that had to act on 0 was abandoned before it did.
inline bool Push(FreeList* list, Block* block) {
  const bool zero = --list->used <= 0;
  block->LinkTo(list->free);
  Commit(&list->free, block);
  return zero;
}

// To be called when Pop gave nothing. If that was for a broken seal, reports
// the block and empties the list: where it leads to is not known.
void DropIfDamaged(FreeList* list);

inline size_t BlockSize(const Run* slab) {
  return slab->block_granules * kGranule;
}

// Makes a slab for `size_class` of a run that has `bytes`. Not listed, nothing
// carved.
void Init(Run* slab, size_t bytes, SizeClass size_class);

// Carves some blocks, about a page of them. False if all are carved already.
bool Carve(Run* slab);

// The blocks in use.
inline int InUse(const Run* slab) { return slab->list.used + slab->beyond; }

// At most so many are on the free list: fewer if operations were abandoned.
inline int Free(const Run* slab) { return slab->carved - InUse(slab); }

// Splits the count of blocks in use, so that `used` is 0 after so many frees.
inline void Split(Run* slab, int in_use, int used) {
  slab->beyond = static_cast<int16_t>(in_use - used);
  slab->list.used = used;
}

// How many frees make a retired slab worth listing again. Few, or much memory
// would lie idle; but one would be too few, or blocks freed in random order
// would be allocated again by way of the slow paths, each for itself.
inline int Worthwhile(const Run* slab) {
  const int part = slab->capacity / 16;
  return part < 1 ? 1 : part > 16 ? 16 : part;
}

// The blocks on the free list.
size_t CountFree(const Run* slab);

// Bytes a slab of this class takes in the static heap: a few pages, chosen so
// that little is left over behind the last block. And the fewest that hold one.
size_t StaticBytes(SizeClass size_class);
size_t LeastStaticBytes(SizeClass size_class);

namespace internal {

// 2^32 divided by each block size, rounded up: to divide by multiplying, as
// each free does. Exact for dividends below 2^32 / kMaxSmall.
struct ReciprocalTable {
  uint32_t of[kNumClasses];
};

constexpr ReciprocalTable MakeReciprocals() {
  ReciprocalTable table{};
  for (int i = 0; i < kNumClasses; ++i) {
    table.of[i] = static_cast<uint32_t>((uint64_t{1} << 32) / ClassSize(i) + 1);
  }
  return table;
}

inline constexpr ReciprocalTable kReciprocals = MakeReciprocals();

}  // namespace internal

// The index of the block that holds `address`, which is in the slab; at or
// behind `capacity` for what is left over.
inline size_t BlockIndex(const Run* slab, const void* address) {
  const size_t offset =
      static_cast<size_t>(static_cast<const char*>(address) - slab->base);
  return offset * slab->reciprocal >> 32;
}

// The start of that block.
inline char* BlockStart(const Run* slab, const void* address) {
  return slab->base + BlockIndex(slab, address) * BlockSize(slab);
}

// True if a block starts at `address`, which is in the slab: a multiple of the
// size times the reciprocal leaves less below the 2^32 than anything else.
inline bool IsBlockStart(const Run* slab, const void* address) {
  const uint32_t offset =
      static_cast<uint32_t>(reinterpret_cast<uintptr_t>(address)) -
      static_cast<uint32_t>(reinterpret_cast<uintptr_t>(slab->base));
  return offset * slab->reciprocal < slab->reciprocal;
}

// The same, and the block is whole: what is left over behind the last is none.
inline bool IsBlock(const Run* slab, const void* address) {
  const auto offset =
      static_cast<uint32_t>(static_cast<const char*>(address) - slab->base);
  const uint64_t product = uint64_t{offset} * slab->reciprocal;
  return static_cast<uint32_t>(product) < slab->reciprocal &&
         product >> 32 < slab->capacity;
}

// True if the block, of this slab, is sealed, as free blocks are. The second
// half is for what looks so.
bool IsSealed(const Run* slab, const Block* block);
inline bool IsFree(const Run* slab, const Block* block) {
  return Unlikely(block->MayBeLinked()) && IsSealed(slab, block);
}

// The slab's invariants: counts agree, free blocks lie where blocks lie.
bool IsValid(const Run* slab);

}  // namespace aomalloc::slab

#endif  // AOMALLOC_CORE_SLAB_H_
