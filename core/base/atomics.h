// The atomic operations that the allocator is built from, over libatomic_ops.
// No other file names that library's primitives. What each operation orders is
// written here once; a caller says only why that order suffices.
//
// How order passes from thread to thread, on machines whose memory is weakly
// ordered; and in brackets what shows it: a case of the search (test/weak),
// which runs this code, or a model (test/models). What is only argued has none.
//
//   a heap         StoreRelease to its `holder` releases it, and CasAcquire
//                  acquires it. This orders everything plain in the heap, the
//                  claim included. [search: "heaps, registry", "heaps, visits";
//                  models: claim, holder]
//   a unit         ClearBitsRelease on its bit in `used` releases it, with its
//                  memory and its descriptor. CasAcquire acquires it. Other
//                  threads may change other bits of the word in between, but
//                  only by read-modify-write operations, which hand the order
//                  on (a release sequence, C17 5.1.2.4). [search: all cases
//                  "arena"; models: arena, growth]
//   a remote free  CasRelease on the list releases it. The thread that takes
//                  the list acquires it. Pushes in between hand the order on.
//                  [search: "push list", "inbox"; models: inbox, outbox]
//   an arena, a    CasFull or CasRelease of the word that leads to it publishes
//   registered     it, and LoadAcquire finds it. It never goes away. [search:
//   heap, a stack  "publication", "heaps, registry", "profile"]
//   of the profile
//   a block        The program hands it on. However it does that, the free
//                  comes after the malloc. So Free may read relaxed what it
//                  reads on the way to a block.
//   a thread that  It releases nothing. But it has ended before the kernel
//   vanished       reports that it is gone, and the kernel takes locks on both
//                  sides. [search: "heaps, registry", "heaps, visits", of what
//                  follows the kernel's answer]
//   the child of   It sees, of each thread, the stores up to some instruction
//   fork           and none after it: a store takes effect only when all stores
//                  before it are certain not to fault, and fork waits for the
//                  stores that found a page writable before it copies the page.
//                  One kind of page is copied while other threads go on storing
//                  to it: one that the kernel has pinned, for input or output
//                  that is under way (io_uring, O_DIRECT, RDMA). In such a page
//                  of blocks, a link of another thread's free list may be newer
//                  than its head. It fails the check of links, or leads to a
//                  block that was free at some time during the fork.
//   a handler      It runs on its thread: CompilerBarrier is enough. [the
//                  stepper, on x86-64]
//
// In two places threads store and then load, relying on another thread's load
// that comes after that thread's own store (as in Dekker's algorithm). Where
// hints are raised and lowered (core/arena/free_hints.h), BarrierAfterUpdate is
// between the two [model: hints]. With remote claims (core/thread/
// remote_claim.h) the kernel makes the barrier, for both sides [search: "heaps,
// visits"; model: remote].
#ifndef AOMALLOC_CORE_BASE_ATOMICS_H_
#define AOMALLOC_CORE_BASE_ATOMICS_H_

#include <cstddef>
#include <cstdint>

#include "atomic_ops.h"

// Where the machine has no compare-and-swap, libatomic_ops emulates it with a
// table of locks, and blocks signals around them. A thread that stopped inside
// would stop all others.
#if defined(AO_USE_PTHREAD_DEFS) || defined(AO_REQUIRE_CAS_EMULATION) || \
    !defined(AO_HAVE_compare_and_swap)
#error \
    "aomalloc needs a machine with compare-and-swap: an emulation with \
locks or blocked signals would break the promise that no thread waits"
#endif

namespace aomalloc {

// A word that several threads access. In static storage it starts as 0.
using AtomicWord = volatile AO_t;
static_assert(sizeof(AO_t) == sizeof(void*), "a word holds a pointer");
static_assert(sizeof(AO_t) == 8, "64-bit machines only");

// Reads a word where only atomicity matters: either a later compare-and-swap
// checks the value, or the value was published before the caller learnt of the
// object that holds the word.
inline AO_t LoadRelaxed(const AtomicWord* word) { return AO_load(word); }

// Reads a word. The caller then sees everything that the word's writer did
// before its release.
inline AO_t LoadAcquire(const AtomicWord* word) {
  return AO_load_acquire(word);
}

inline void StoreRelaxed(AtomicWord* word, AO_t value) {
  AO_store(word, value);
}

// Publishes everything that this thread did before.
inline void StoreRelease(AtomicWord* word, AO_t value) {
  AO_store_release(word, value);
}

// Takes something over. On success later accesses stay behind it, and the
// caller sees what the thread that released the word did before.
inline bool CasAcquire(AtomicWord* word, AO_t expected, AO_t desired) {
  return AO_compare_and_swap_acquire(word, expected, desired) != 0;
}

// Hands something over: on success earlier accesses stay before it.
inline bool CasRelease(AtomicWord* word, AO_t expected, AO_t desired) {
  return AO_compare_and_swap_release(word, expected, desired) != 0;
}

// Acquires and releases: for words where one operation does both.
inline bool CasFull(AtomicWord* word, AO_t expected, AO_t desired) {
  return AO_compare_and_swap_full(word, expected, desired) != 0;
}

// Orders nothing: for words from which nothing follows about other memory, or
// that only a thread and its own handlers change.
inline bool CasRelaxed(AtomicWord* word, AO_t expected, AO_t desired) {
  return AO_compare_and_swap(word, expected, desired) != 0;
}

// Keeps later loads behind the caller's last atomic update: a compare-and-swap
// that succeeded, or a function that sets or clears bits. Of two threads that
// each update a word, call this, and read the other's word, one at least sees
// the other's update.
inline void BarrierAfterUpdate() {
#if defined(__x86_64__)
  AO_compiler_barrier();  // such an update is a barrier itself
#else
  AO_nop_full();
#endif
}

// Adds to a counter; a wrapped value subtracts. Orders nothing: counters are
// hints, and nothing follows from them about other memory.
inline void AddRelaxed(AtomicWord* word, AO_t value) {
  AO_fetch_and_add(word, value);
}

// Adds 1 to a counter, and returns what it was. Orders nothing.
inline AO_t CountRelaxed(AtomicWord* word) { return AO_fetch_and_add1(word); }

// Clears the bits of `mask`, and publishes everything that this thread did
// before.
inline void ClearBitsRelease(AtomicWord* word, AO_t mask) {
  AO_and_release(word, ~mask);
}

// Clears the bits of `mask`; orders nothing.
inline void ClearBits(AtomicWord* word, AO_t mask) { AO_and(word, ~mask); }

// Sets the bits of `mask`; orders nothing.
inline void SetBits(AtomicWord* word, AO_t mask) { AO_or(word, mask); }

// The same, publishing everything this thread did before.
inline void SetBitsRelease(AtomicWord* word, AO_t mask) {
  AO_or_release(word, mask);
}

// Raises a high-water mark to `value`; orders nothing. A compare-and-swap that
// fails was overtaken by one that succeeded, so this is lock-free.
inline void RaiseTo(AtomicWord* mark, AO_t value) {
  AO_t seen;
  while ((seen = AO_load(mark)) < value &&
         AO_compare_and_swap(mark, seen, value) == 0) {
  }
}

// Reads a plain variable once while its owner may write it. Only for a figure
// in a report: the value may be out of date at once.
template <typename T>
inline T Glance(const T& value) {
  return *const_cast<const volatile T*>(&value);
}

// Keeps the compiler from moving accesses across it. Between a thread and its
// own signal handlers nothing more is needed, on any machine.
inline void CompilerBarrier() { AO_compiler_barrier(); }

// The store that commits a change. The thread's own signal handlers see it
// after everything before it, and before everything after it.
template <typename T>
inline void Commit(T* word, T value) {
  CompilerBarrier();
  *const_cast<volatile T*>(word) = value;
  CompilerBarrier();
}

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_BASE_ATOMICS_H_
