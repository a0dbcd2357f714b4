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
#include "core/hardening.h"
#include "core/size_class.h"

namespace aomalloc {

class Heap;

// A free block. Its link bears a seal, made of its address, and is cleared when
// the block is handed out again. So what is freed has no sealed link, unless it
// is free already, also while it is on its way home; and what is about to be
// handed out has one, unless somebody has written to it since it was freed.
// (The link is not in the first word, which a program is likelier to have just
// written a part of: to read the whole of it then takes a processor long.)
class Block {
 public:
  void LinkTo(Block* to) {
    if constexpr (hardening::kOn) witness_ = 0;
    SetLink(to);
  }
  Block* Next() const { return reinterpret_cast<Block*>(link_ - Seal()); }
  void Unlink() {
    if (hardening::kOn && BearsWitness()) witness_ = 0;
    link_ = 0;
  }

  // For a link that leads out of the slab: the first word says so, so that
  // nobody's data is taken for such a link. It has room for a small number.
  void BearWitness(size_t number = 0) { Commit(&witness_, Witness() + number); }
  bool BearsWitness() const { return WitnessedNumber() <= kMostWitnessed; }
  // Of the hardened build, which clears what bears no witness.
  bool IsWhole() const { return witness_ == 0; }

  // False if what is in its place cannot be a sealed link.
  bool MayBeLinked() const { return (link_ - Seal()) >> kAddressBits == 0; }

 protected:
  static constexpr uintptr_t kMostWitnessed = 255;

  void SetLink(Block* to) { link_ = Seal() + reinterpret_cast<uintptr_t>(to); }
  // More than kMostWitnessed if there is no witness.
  uintptr_t WitnessedNumber() const { return witness_ - Witness(); }

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  static constexpr int kAddressBits = 48;  // of user addresses

  uintptr_t Witness() const {
    if constexpr (hardening::kOn) return ~Seal() & ~kMostWitnessed;
    return ~reinterpret_cast<uintptr_t>(this) << 8;
  }

  // Nothing that a program has reason to keep there. One instruction on x86-64.
  uintptr_t Seal() const {
    if constexpr (hardening::kOn) return hardening::SecretFor(this);
    return reinterpret_cast<uintptr_t>(this) * 9 + 0x5ea1ed01;
  }

  uintptr_t witness_;
  uintptr_t link_;
};
static_assert(sizeof(Block) <= ClassSize(0), "fits any block");

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
  uint32_t reciprocal;  // of the block size: see slab.h
  uint32_t sample;      // of a live span: its stack in the profile, or 0
  size_t sample_bytes;

  alignas(64) FreeList list;  // `used` of its blocks, and `beyond` more, are in
  Run* next;                  // use: see slab.h
  Run* prev;                  // the owner's list of slabs of this class
  int16_t beyond;
  uint16_t carved;  // blocks that have ever been on the free list
  bool listed;      // on its owner's list for its class
  size_t drained;   // remote frees that came home to it; for reports
  // Of a span in the hardened build: what may be used.
  size_t span_bytes;
};
static_assert(sizeof(Run) == 128);

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_RUN_H_
