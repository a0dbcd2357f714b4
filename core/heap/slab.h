// Slabs: the blocks of one run.
//
// Who touches what: an operation that changes a slab or a list holds the claim
// on the heap that has it. So these are plain loads and stores, and the
// compiler barriers of the claim keep them inside it. BlockSize, BlockIndex,
// BlockStart, IsCarved, IsBlock, IsLeftOut, IsSealed and IsFree read the block
// and the first cache line of descriptors; those of a slab with purged pages
// also glance at the second. Any operation that was given the address of a
// block may call them.
//
// `used + beyond` is the number of blocks in use. It includes remote frees that
// are not drained yet, kept blocks and rations. It is split so that a free,
// which decrements `used`, gets to 0 exactly when something has to be done
// about the slab:
//
//   head of its list  `beyond` is -1, so `used` never gets to 0: malloc
//                     allocates from this slab; or 0, as of one that is listed,
//                     if much memory was given back (Heap::OnFall)
//   listed            `beyond` is 0; `used` is 0 when the slab is empty and is
//                     to be given back
//   retired           the slab was full and is not listed; `used` is the number
//                     of frees that make it worth listing again, and `beyond`
//                     has the rest
//
// Commit: Pop and Push commit with the store to `free`.
//
// Interruption: Pop counts after its commit, and Push before it. So an
// abandoned operation leaves `used` right, or too low by the block in hand,
// which is lost. `used` is never too low by a block that somebody has. If it is
// too low, the lost block comes back when the slab is emptied and used again.
// Otherwise, or once Repair has counted the slab anew, the lost block counts as
// in use, and the slab never gets empty.
#ifndef AOMALLOC_CORE_HEAP_SLAB_H_
#define AOMALLOC_CORE_HEAP_SLAB_H_

#include "core/arena/run.h"
#include "core/base/likely.h"
#include "core/base/size_class.h"

namespace aomalloc::slab {

// The pages that may be purged, at most 16 of a slab, and bits for them. Where
// the system has larger ones, none is.
constexpr size_t kPageBytes = 4096;
constexpr size_t kMostPages = 16;
using Pages = uint16_t;

// Takes a block off the free list. Null if the list is empty. Null too if the
// seal of its first block is broken: somebody wrote to that block while it was
// free, so its link may not be followed.
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

// Puts a block on the free list. True if `used` is 0 now. True too if it is
// below 0: an operation that had to act on 0 was abandoned before it did.
inline bool Push(FreeList* list, Block* block) {
  const bool zero = --list->used <= 0;
  block->LinkTo(list->free);
  Commit(&list->free, block);
  return zero;
}

// To be called when Pop has returned null. If the seal of the first block is
// broken, this empties the list, because nobody knows where it leads, and
// returns that block. Otherwise null.
const Block* DropDamaged(FreeList* list);

// The bytes of each block.
inline size_t BlockSize(const Run* slab) {
  return slab->block_granules * kGranule;
}

// Makes a slab for `size_class` of a run of `bytes` bytes. The slab is not
// listed, has no owner yet, and none of its blocks is carved.
void Init(Run* slab, size_t bytes, SizeClass size_class);

// Makes of a kept run what it was before it was kept: an empty slab of this
// class, with all its blocks on the free list. So they need not be linked anew.
// False if it was none, or if `carved` is 0; and if its blocks were freed in
// random order, as malloc is faster where they lie one behind the other.
bool Revive(Run* run, SizeClass size_class);

// To be called before a run of used memory becomes a span. If a block of a slab
// began there, its link may bear its seal still. The program may copy that
// word, without ever writing it, to the next block that begins there, when the
// span is freed: realloc does. And then that block would count as free.
inline void BreakSeal(const Run* run) {
  reinterpret_cast<Block*>(run->base)->Unlink();
}

// Carves about a page of blocks that were never used, but at least one. False
// if there are none. (CarvePage is for those that are left out.) Abandoned
// after its first store and before its last, it loses these blocks.
bool Carve(Run* slab);

// Puts the blocks from index `begin` to `end` on the free list, before those
// that are there.
void Enlist(Run* slab, size_t begin, size_t end);

// Makes `carved_steps` what it has to be: all steps of carved blocks, or 0 if
// the slab has purged pages. Then IsCarved is false of all blocks, so that each
// free takes the slow path, which looks whether the block is left out.
void UpdateSteps(Run* slab);

// The number of blocks in use.
inline int InUse(const Run* slab) { return slab->list.used + slab->beyond; }

// The indices of the blocks that begin in a page: from `begin` to `end`.
struct BlocksOfPage {
  BlocksOfPage(const Run* slab, int page)
      : BlocksOfPage(BlockSize(slab), slab->capacity, page) {}
  BlocksOfPage(size_t size, size_t capacity, int page)
      : begin(First(size, capacity, static_cast<size_t>(page))),
        end(First(size, capacity, static_cast<size_t>(page) + 1)) {}
  size_t Count() const { return end - begin; }

  const size_t begin;
  const size_t end;

 private:
  static size_t First(size_t size, size_t capacity, size_t page) {
    const size_t index = (page * kPageBytes + size - 1) / size;
    return index < capacity ? index : capacity;
  }
};

// The number of blocks of such a size that begin in `pages`.
size_t CountIn(Pages pages, size_t size, size_t capacity);

// The number of blocks that are left out.
inline int LeftOut(const Run* slab) {
  if (Likely(slab->purged_pages == 0)) return 0;
  return static_cast<int>(
      CountIn(slab->purged_pages, BlockSize(slab), slab->capacity));
}

// The number of blocks on the free list; too high by blocks that abandoned
// operations have lost.
inline int Free(const Run* slab) {
  return slab->carved - InUse(slab) - LeftOut(slab);
}

// Splits the number of blocks in use, so that `used` is 0 after `used` frees.
inline void Split(Run* slab, int in_use, int used) {
  slab->beyond = static_cast<int16_t>(in_use - used);
  slab->list.used = used;
}

// The number of frees that make a retired slab worth listing again. If there
// were many, much memory would lie idle. One would be too few: blocks that are
// freed in random order would be allocated again one by one, each through the
// slow path.
inline int Worthwhile(const Run* slab) {
  const int part = slab->capacity / 16;
  return part < 1 ? 1 : part > 16 ? 16 : part;
}

// Counts the blocks on the free list, up to one that somebody has written to.
size_t CountFree(const Run* slab);

// The bytes of a slab of this class in the static heap, unless many were full
// (heap.cc): a few pages, chosen so that little is left over behind the last
// block. LeastStaticBytes: the fewest pages that hold one block, in bytes.
size_t StaticBytes(SizeClass size_class);
size_t LeastStaticBytes(SizeClass size_class);

namespace internal {

// 2^32 divided by each block size, rounded down, plus 1. Each free divides by
// multiplying with it. Exact for dividends below 2^32 / kMaxSmall.
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

// The index of the block that holds `address`, which is in the slab. At least
// `capacity` if the address is behind the last block.
inline size_t BlockIndex(const Run* slab, const void* address) {
  const size_t offset =
      static_cast<size_t>(static_cast<const char*>(address) - slab->base);
  return offset * slab->reciprocal >> 32;
}

// The start of that block.
inline char* BlockStart(const Run* slab, const void* address) {
  return slab->base + BlockIndex(slab, address) * BlockSize(slab);
}

// True if a block that was carved starts at `address`, which is in the slab.
// The reciprocal times the block size is 2^32 and a little more: a step, which
// is at most the block size. So modulo 2^32 the reciprocal times the offset of
// block i is i steps. For an offset at which no block starts it is at least the
// reciprocal, which is more than all steps of a slab.
inline bool IsWithin(uint32_t steps, const Run* slab, const void* address) {
  const uint32_t offset =
      static_cast<uint32_t>(reinterpret_cast<uintptr_t>(address)) -
      static_cast<uint32_t>(reinterpret_cast<uintptr_t>(slab->base));
  return offset * slab->reciprocal < steps;
}
inline bool IsCarved(const Run* slab, const void* address) {
  return IsWithin(slab->carved_steps, slab, address);
}

// True if the block at `address`, which is in the slab, is left out. (Whoever
// has a block sees a bit of its page that is 0: it was 0 before anybody had the
// block, and stays 0 until the block is free.)
inline bool IsLeftOut(const Run* slab, const void* address) {
  const auto offset =
      static_cast<size_t>(static_cast<const char*>(address) - slab->base);
  return (Glance(slab->purged_pages) >> (offset / kPageBytes) & 1) != 0;
}

// As IsCarved, but exact for slabs with purged pages too: false of blocks that
// are left out.
bool IsBlockSlow(const Run* slab, const void* address);
inline bool IsBlock(const Run* slab, const void* address) {
  const uint32_t steps = Glance(slab->carved_steps);  // may change meanwhile
  if (Unlikely(steps == 0)) return IsBlockSlow(slab, address);
  return IsWithin(steps, slab, address);
}

// IsFree is true if the block, of this slab, is free: its link bears a seal.
// A live block may look like that, too: what the program stores may be any
// value, and what it copies without having written it may be the link that a
// block at this very address once had. So IsSealed checks that the link is
// plausible and, where it can, that the block is on the slab's list. It reads
// the slab's other free blocks for that.
bool IsSealed(const Run* slab, const Block* block);
inline bool IsFree(const Run* slab, const Block* block) {
  return Unlikely(block->MayBeLinked()) && IsSealed(slab, block);
}

// True if the slab satisfies its invariants: the counts agree, and each free
// block is where a block is. For the holder of the claim.
bool IsValid(const Run* slab);

}  // namespace aomalloc::slab

#endif  // AOMALLOC_CORE_HEAP_SLAB_H_
