// The nouns, and the descriptor that all rooms share.
//
//   unit        the smallest piece of an arena: 64 KiB of mapped memory, 4 KiB
//               of the static heap
//   arena       a range of addresses cut into units, with a bit per unit that
//               says whether it is in use; the static heap is one, each
//               reservation got from mmap another
//   run         neighbouring units taken and returned together
//   slab        a run cut into blocks of one size class, owned by one heap
//   span        a run that is one large block, owned by nobody
//   block       what malloc returns
//   size class  the block sizes there are (size_class.h)
//   carve       to put blocks of a slab that were never used on its free list
//   heap        the slabs that one thread allocates from, and their lists;
//               heaps are never destroyed, only held by one thread or by none
//   claim       the right of one operation to work on a heap (claim.h)
//   remote free a free by somebody who has no claim on the block's heap: the
//               block is pushed on that heap's list and waits there
//   batch       remotely freed blocks that go home together, listed in one
//               of them
//   outbox      batches of a heap's thread that are still to be sent
//   foreign     of another heap, when somebody has freed it
//   inbox       a heap's remote frees, until it drains them
//   raid        to take another heap's inbox, when memory is short
//   drain       to bring the remote frees home to their slabs
//   refill      what malloc does when the slab at hand is empty
//   sample      an allocation that the heap profile takes note of, with its
//               stack; a span, whatever its size
//   ration      free blocks that malloc may hand out before the next sample
//   purge       to give the memory of free units back to the system
#ifndef AOMALLOC_CORE_RUN_H_
#define AOMALLOC_CORE_RUN_H_

#include <cstddef>
#include <cstdint>

#include "core/atomics.h"
#include "core/size_class.h"

namespace aomalloc {

class Heap;

// A free block.
struct Block {
  Block* next;
};

// Free blocks of one size class, last in, first out; `used` goes up with each
// that is taken and down with each that is put back.
struct FreeList {
  Block* free;
  int32_t used;
};

enum class RunKind : uint8_t {
  kFree,      // no run starts here (also: inside a span)
  kSlab,      // a slab starts here
  kInterior,  // inside a slab; `units` is the distance to its first unit
  kSpan,      // a span starts here
  kOwn,       // the allocator's own: heaps
};

// The descriptor of a unit; that of a run is its first unit's. In a table
// beside the arena, so that a block's address leads to it and no overflow of a
// block does. Memory of this type is never anything else.
//
// The first cache line is written when the run is taken and returned, which is
// before anybody has, and after everybody has given up, a block of it; so
// whoever may name a block reads it without ordering. The second is the owner's
// alone (slab.h). They are apart because a thread that frees another's blocks
// reads the one while the owner writes the other.
struct alignas(128) Run {
  AtomicWord owner;         // Heap*; 0 for spans
  char* base;               // its address
  uint32_t units;           // length of the run, in units
  uint16_t block_granules;  // block size in granules
  uint16_t capacity;        // blocks that fit
  SizeClass size_class;
  RunKind kind;
  uint32_t sample;  // of a live span: its stack in the profile, or 0
  size_t sample_bytes;

  alignas(64) FreeList list;  // `used` of its blocks, and `beyond` more, are in
  Run* next;                  // use: see slab.h
  Run* prev;                  // the owner's list of slabs of this class
  int16_t beyond;
  uint16_t carved;  // blocks that have ever been on the free list
  bool listed;      // on its owner's list for its class
  size_t drained;   // remote frees that came home to it; for reports
};
static_assert(sizeof(Run) == 128);

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_RUN_H_
