// The glossary, and the descriptor of a run, which all rooms share. In
// brackets: the word of the field, or of another allocator.
//
// Memory
//
//   unit         the smallest piece of an arena: 64 KiB of mapped memory, 4 KiB
//                of the static heap [page, chunk]
//   arena        a range of addresses that is cut into units, with a bit for
//                each unit that says whether it is in use. The static heap is
//                one; each mapping that units come from is another [region]
//   primary      the first arena that grows where it is, chunk by chunk. There
//                is another one where it has no room
//   chunk        64 units of an arena that grows, which are mapped together
//   piece        a small arena that is mapped as a whole, where address space
//                is limited or none that grows can be had
//   run          neighbouring units that are taken and returned together
//                [tcmalloc: span]
//   mark         to set the bits of units in `used`, which takes them
//   accessible   of a unit: it can be read and written [committed]
//   dirty        of a unit: it may be other than zero, because it was used and
//                not purged since
//   dense        of a run: it is likely that all of it will be used. Others are
//                sparse
//   huge         of a page: the kernel was asked to make 32 units one page of
//   its
//                own [hugepage]
//   to break     a huge page: to tell the kernel to use small pages there
//                [subrelease]
//   purge        to give the memory of free units back to the system [decommit,
//                scavenge, decay]
//   ceiling      the most memory that may be in use, if there is a limit
//   scarce       of memory: it cannot grow without limit, because mmap is not
//                enabled or there is a ceiling. Then heaps keep less
//   guard        pages that nobody can access: behind an arena's table; in the
//                hardened build also behind runs, and all of a freed span
//   kept         of a run: free, but in a heap's run cache for its next slab or
//                span. Of a block: see foreign [cached]
//
// Blocks
//
//   block        what malloc returns [object]
//   size class   one of the sizes that blocks of slabs have (size_class.h)
//   slab         a run that is cut into blocks of one size class [mimalloc:
//                page; tcmalloc: span]
//   span         a run that is one large block [large allocation]
//   owner        of a slab: the heap that it belongs to. A span has none
//   carve        to put blocks of a slab on its free list that were on none:
//                they were never used, or left out
//   left out     of a free block: it is on no list, because the page of its
//                slab that it begins in was purged
//   set aside    of a slab: it has blocks that are left out, and serves malloc
//                only if no other slab of its class has a free block
//   seal         a value made of a block's address that is added to the link of
//                a free block. A live block has no sealed link. The seal is
//                broken when the link was overwritten [encoded pointer; glibc:
//                safe-linking]
//   witness      a value in the first word of a free block. It says that the
//                block is not on its slab's list, so that the link may lead out
//                of the slab, and holds a small number
//
// Heaps
//
//   heap         the slabs that one thread allocates from, and their lists.
//                Heaps are never destroyed [thread cache; snmalloc: allocator]
//   holder       the thread that uses a heap, if any. A thread may hold several
//   claim        the right of one operation to work on a heap (claim.h)
//   head         of a class's list: its first slab, from which malloc takes the
//                heap's own blocks [current or active slab]
//   retired      of a slab: it was found full and taken off its list. It comes
//                back when enough of its blocks were freed [mimalloc: full
//                page]
//   lender       of a size class: the class of the next power of two, whose
//                blocks serve the first few requests for a class without a slab
//   refill       what malloc does when the list that it pops from is empty
//
// Frees by other threads
//
//   remote free  a free by an operation that has no claim on the block's heap
//                [cross-thread free]
//   foreign      of a block: it is another heap's, and this heap's thread has
//                freed it. Some are kept, for this thread's own mallocs
//   outbox       a heap's foreign blocks that are to be sent to their owners
//                [remote cache]
//   lane         of an outbox: the blocks that go to one owner
//   batch        remotely freed blocks that are sent together, listed in one of
//                them
//   inbox        the remote frees that were sent to a heap, until the heap
//                drains them [message queue, thread-free list]
//   drain        to put the remote frees on the free lists of their slabs
//   raid         to take another heap's inbox, when memory is short
//
// Interruption
//
//   commit       the store that makes a change real [commit point]
//   interrupted  of an operation: a handler runs inside it. It will go on
//   abandoned    of an operation: longjmp or a cancellation removed its frame.
//                It will not go on (claim.h)
//   vanished     of a thread: it has ended, or is not in the child of a fork,
//                and has not released its heaps (liveness.h)
//
// The profile and the hardened build
//
//   sample       an allocation that the heap profile counts, with its stack.
//                Its block is a span, whatever its size
//   ration       free blocks that malloc may hand out before the next sample
//   canary       what follows the requested bytes of a live block; damaged if
//                the program has written beyond them
//   quarantine   where freed blocks wait before they are used again
#ifndef AOMALLOC_CORE_ARENA_RUN_H_
#define AOMALLOC_CORE_ARENA_RUN_H_

#include <cstddef>
#include <cstdint>

#include "core/base/atomics.h"
#include "core/base/hardening.h"
#include "core/base/size_class.h"

namespace aomalloc {

// A free block. Its link is sealed: LinkTo adds a value made of the block's
// address, and Unlink clears the link when the block is handed out. So a block
// with a sealed link is free, or on its way to its owner: to free it is a
// double free. And if the block that is to be handed out has none, the program
// has written to it since it was freed.
//
// The link is the second word, because a program is likelier to have just
// written a part of the first: a load of the whole word then stalls.
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

  // Marks a free block that a batch lists: it leads to itself, and is thereby
  // told from the last block of a list.
  void MarkInBatch() { LinkTo(this); }
  bool IsInBatch() const { return Next() == this; }

  // Marks a block that is not on its slab's list, by a value in the first word.
  // Without it no link out of the slab counts as sealed, so that a program's
  // data is not taken for one. The word also holds `number`, at most
  // kMostWitnessed: in its first byte and in its last, so that a program that
  // writes to one of them does not change the number.
  void BearWitness(size_t number = 0) {
    Commit(&witness_, Witness() + number * kTwice);
  }
  bool BearsWitness() const { return WitnessedNumber() <= kMostWitnessed; }
  // Hardened build: the first word of a free block without a witness is 0.
  // False if the program has written to that word.
  bool IsWhole() const { return witness_ == 0; }

  // False if the second word cannot be a sealed link.
  bool MayBeLinked() const { return (link_ - Seal()) >> kAddressBits == 0; }

 protected:
  static constexpr uintptr_t kMostWitnessed = 255;

  void SetLink(Block* to) { link_ = Seal() + reinterpret_cast<uintptr_t>(to); }
  // More than kMostWitnessed if there is no witness.
  uintptr_t WitnessedNumber() const {
    const uintptr_t both = witness_ - Witness();
    const uintptr_t number = both & kMostWitnessed;
    return both == number * kTwice ? number : ~uintptr_t{0};
  }

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  static constexpr int kAddressBits = 48;  // of user addresses
  static constexpr uintptr_t kTwice = 1 + (uintptr_t{1} << 56);

  uintptr_t Witness() const {
    if constexpr (hardening::kOn) return ~Seal() & ~kMostWitnessed;
    return ~reinterpret_cast<uintptr_t>(this) << 8;
  }

  // A value that programs have no reason to store there. It takes one
  // instruction on x86-64.
  uintptr_t Seal() const {
    if constexpr (hardening::kOn) return hardening::SecretFor(this);
    return reinterpret_cast<uintptr_t>(this) * 9 + 0x5ea1ed01;
  }

  uintptr_t witness_;
  uintptr_t link_;
};
static_assert(sizeof(Block) <= ClassSize(0), "fits any block");

// Free blocks of one size class, last in, first out. `used` is incremented for
// each block that is taken, and decremented for each that is put back.
struct FreeList {
  Block* free;
  int32_t used;
};

enum class RunKind : uint8_t {
  kFree,      // no slab or span starts here; also inside a span, and kept runs
  kSlab,      // a slab starts here
  kInterior,  // inside a slab; `units` is the distance to its first unit
  kSpan,      // a span starts here
  kOwn,       // a run of the allocator's own memory: heaps
};

// The descriptor of a unit. The descriptor of a run is that of its first unit.
// Descriptors lie in a table apart from the blocks: a block's address leads to
// its descriptor, and an overflow of a block does not reach it. Memory that
// holds a descriptor never holds anything else (type-stable).
//
// The first cache line is written when the run is taken and when it is
// returned: before any thread has a block of it, and after all have given
// theirs up. The operation that resizes or samples a span writes it too, and
// one that carves blocks, before anybody has these, or leaves blocks out, which
// nobody has. So a thread that has a block reads this line relaxed. The second
// line belongs to the owner alone (slab.h). They are two lines because a thread
// that frees blocks of another heap reads the first while the owner writes the
// second.
struct alignas(128) Run {
  AtomicWord owner;         // Owner*, the heap of a slab; else 0
  char* base;               // the run's address
  uint32_t units;           // the run's length
  uint16_t block_granules;  // the block size, in granules
  uint16_t capacity;        // blocks that fit
  SizeClass size_class;
  RunKind kind;
  bool guarded;           // hardened build: it has a guard that is a mapping
  uint32_t reciprocal;    // of the block size: see slab.h
  uint32_t carved_steps;  // tells carved blocks from all else: see slab.h
  uint32_t sample;        // of a sampled span: its stack in the profile; else 0
  uint32_t moved_units;   // its first units whose pages were moved here: move.h
  size_t sample_bytes;    // of a sampled span: its size in the profile

  // Of a slab: `list.used` + `beyond` blocks are in use (slab.h).
  alignas(64) FreeList list;
  Run* next;  // on the owner's list for the class, or on a list of kept runs
  Run* prev;  // on the owner's list for the class
  int16_t beyond;
  uint16_t carved;  // blocks that have ever been on the free list
  bool listed;      // it is on the owner's list for its class, or set aside
  uint8_t checked;  // frees since it became the head (slab_pages.h)
  uint16_t purged_pages;  // a bit for each page whose blocks are left out
  size_t drained;         // remote frees that were drained to it; for reports
  size_t span_bytes;      // of a span: bytes that may be used: see tails.h
  union {
    // Of a slab, for Heap::PurgeIdle: what was seen when it last looked.
    uint32_t seen_at;
    // Of a span: when its tail was purged, if it was, or 0: see tails.h.
    uint32_t purged_ms;
  };
  uint16_t seen_in_use;
};
static_assert(sizeof(Run) == 128);

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_ARENA_RUN_H_
