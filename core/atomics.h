// The few atomic operations that the allocator is built from, over
// libatomic_ops. This is the only file that names its primitives: what each
// operation orders is said here once, and callers say only why that suffices.
//
// How order gets from thread to thread, on machines that keep none by
// themselves:
//
//   a heap         is released by StoreRelease to its `holder`, and acquired by
//                  CasAcquire. All that is plain in it, the claim included, is
//                  ordered by that.
//   a unit         is released by ClearBitsRelease to its bit in `used`, with
//                  its memory and its descriptor, and acquired by CasAcquire.
//                  Meanwhile others change other bits of the word, but only by
//                  operations that read and write at once; these hand the order
//                  on (a release sequence, C17 5.1.2.4).
//   a remote free  is released by CasRelease to the list, and acquired by who
//                  takes it; the same goes for what others push in between.
//   an arena, a    is published by CasFull or CasRelease of the word that leads
//   registered     to it, and found by LoadAcquire. It never goes away.
//   heap
//   a block        is handed on by the program. However it does that, who frees
//                  comes after who allocated; so what Free looks at on the way
//                  to a block, it reads relaxed.
//   a thread that  releases nothing. But it has ended before the kernel says
//   vanished       that it is not there, which takes locks on both sides.
//   the child of   sees of each thread what it had stored up to some
//   fork           instruction, and nothing later: a store takes effect only
//                  when all before it are certain not to fault, and those that
//                  found the page writable are waited for before it is copied.
//   a handler      is on its thread: CompilerBarrier is all it takes.
//
// Nowhere does one thread store and then load, relying on another's load that
// comes after its own store (as in Dekker's algorithm); so no barrier orders
// that.
#ifndef AOMALLOC_CORE_ATOMICS_H_
#define AOMALLOC_CORE_ATOMICS_H_

#include <cstddef>
#include <cstdint>

#include "atomic_ops.h"

// Where the machine has no compare-and-swap, libatomic_ops emulates it with a
// table of locks and, around them, blocked signals. A thread stopped inside
// would stop everybody.
#if defined(AO_USE_PTHREAD_DEFS) || defined(AO_REQUIRE_CAS_EMULATION) || \
    !defined(AO_HAVE_compare_and_swap)
#error \
    "aomalloc needs a machine with compare-and-swap: an emulation with \
locks or blocked signals would break the promise that no thread waits"
#endif

namespace aomalloc {

// A word that several threads access. Zero-initialised in static storage.
using AtomicWord = volatile AO_t;
static_assert(sizeof(AO_t) == sizeof(void*), "a word holds a pointer");
static_assert(sizeof(AO_t) == 8, "64-bit machines only");

// Reads a word of which only atomicity matters: the value is either checked by
// a later compare-and-swap, or was published before the caller learnt of the
// object that holds it.
inline AO_t LoadRelaxed(const AtomicWord* word) { return AO_load(word); }

// Reads a word and sees everything its writer did before StoreRelease.
inline AO_t LoadAcquire(const AtomicWord* word) {
  return AO_load_acquire(word);
}

inline void StoreRelaxed(AtomicWord* word, AO_t value) {
  AO_store(word, value);
}

// Publishes everything this thread did before.
inline void StoreRelease(AtomicWord* word, AO_t value) {
  AO_store_release(word, value);
}

// Takes something over: on success later accesses stay behind it, and it sees
// what the word's releaser did.
inline bool CasAcquire(AtomicWord* word, AO_t expected, AO_t desired) {
  return AO_compare_and_swap_acquire(word, expected, desired) != 0;
}

// Hands something over: on success earlier accesses stay before it.
inline bool CasRelease(AtomicWord* word, AO_t expected, AO_t desired) {
  return AO_compare_and_swap_release(word, expected, desired) != 0;
}

// Both at once: for words whose two directions are used by one operation.
inline bool CasFull(AtomicWord* word, AO_t expected, AO_t desired) {
  return AO_compare_and_swap_full(word, expected, desired) != 0;
}

// Neither: for words that tell nothing about other memory, or that only a
// thread and its own handlers change.
inline bool CasRelaxed(AtomicWord* word, AO_t expected, AO_t desired) {
  return AO_compare_and_swap(word, expected, desired) != 0;
}

// Adds (subtracts, with a wrapped value) to a counter; orders nothing, so that
// counters are hints and nothing is concluded from them about other memory.
inline void AddRelaxed(AtomicWord* word, AO_t value) {
  AO_fetch_and_add(word, value);
}

// Clears the bits of `mask`, publishing everything this thread did before.
inline void ClearBitsRelease(AtomicWord* word, AO_t mask) {
  AO_and_release(word, ~mask);
}

// Sets the bits of `mask`; orders nothing.
inline void SetBits(AtomicWord* word, AO_t mask) { AO_or(word, mask); }

// Raises a high-water mark to `value`; orders nothing. Whoever fails was
// overtaken by one that succeeded.
inline void RaiseTo(AtomicWord* mark, AO_t value) {
  AO_t seen;
  while ((seen = AO_load(mark)) < value &&
         AO_compare_and_swap(mark, seen, value) == 0) {
  }
}

// Reads once what its owner writes by plain stores meanwhile: good for a figure
// in a report, which is worth no more than its moment, and for nothing else.
template <typename T>
inline T Glance(const T& value) {
  return *const_cast<const volatile T*>(&value);
}

// Keeps the compiler from moving accesses across: all that is needed between a
// thread and its own signal handlers, on every machine.
inline void CompilerBarrier() { AO_compiler_barrier(); }

// Stores what makes a change real, after everything before and before
// everything after, as the thread's own signal handlers see it.
template <typename T>
inline void Commit(T* word, T value) {
  CompilerBarrier();
  *const_cast<volatile T*>(word) = value;
  CompilerBarrier();
}

// A stack that only two operations touch: anybody pushes a chain, and a taker
// removes everything. Nothing is ever popped singly, so the head can be
// compared by address alone (no ABA: a push that succeeds has linked to
// whatever the head is then, be it the same node come back; a take that
// succeeds has what is linked then).
//
// Beside the head stand marks, one bit for each taker there may be at a time. A
// take flips its taker's mark. So who comes after a taker that was stopped, and
// knows the state that it saw, can tell whether it took.
//
// `Node` has a member `LinkTo(Node*)` and an alignment of at least 4. The push
// commits with its compare-and-swap; a pusher that stops before it has changed
// nothing, one that stops after it is done.
template <typename Node>
class PushList {
 public:
  // The head, null in an empty list, and the marks.
  using State = AO_t;
  static constexpr AO_t kMarks = 3;
  static Node* Head(State state) {
    return reinterpret_cast<Node*>(state & ~kMarks);
  }

  // Pushes the chain from `first` to `last`.
  void Push(Node* first, Node* last) {
    State seen;
    do {
      seen = LoadRelaxed(&state_);
      last->LinkTo(Head(seen));
      // Release: the taker must see the links and what was written before.
    } while (!CasRelease(&state_, seen,
                         reinterpret_cast<AO_t>(first) | (seen & kMarks)));
  }

  // Acquire: the links of the head may be followed by who takes it.
  State Look() const { return LoadAcquire(&state_); }

  // Empties the list and flips `mark`, one bit, if the state is still `seen`.
  bool TakeAll(State seen, AO_t mark) {
    return CasAcquire(&state_, seen, (seen & kMarks) ^ mark);
  }

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  AtomicWord state_ = 0;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_ATOMICS_H_
