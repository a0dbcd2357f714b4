// Threads: which heaps a thread holds, nested entries, thread exit.
//
// A thread holds every heap whose `holder` word is the thread's token: the
// address of one of its thread-local variables and, where it is known, its
// thread id, so that a thread that got the memory of a vanished one is not
// taken for it. That one word is all there is: a heap is acquired by one
// compare-and-swap, from 0 or from the token of a vanished thread, and released
// by one store; so there is no moment at which an interruption loses it.
// `current` caches the heap that the thread uses first.
//
// Heaps are on one list, the registry, for ever. An operation that finds the
// current heap claimed is a handler, nested in another operation; it uses the
// first heap of the registry that its thread holds and that is not claimed, or
// acquires one. So a thread holds as many heaps as its handlers ever nested.
//
// When a thread ends its heaps are released with all they contain; a later
// thread acquires them. The heaps of a thread that vanished without that are
// found when no heap is free (liveness.h).
#ifndef AOMALLOC_CORE_THREAD_H_
#define AOMALLOC_CORE_THREAD_H_

#include "core/claim.h"
#include "core/heap.h"

namespace aomalloc::thread {

// The heap to try first; null in a thread that has not allocated yet. The
// initial-exec model: no call, no allocation at first use. (__thread rather
// than thread_local, behind which a compiler suspects a constructor.)
extern __thread Heap* current
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

// How often an operation found the current heap in use by one that it has
// interrupted. For reports.
extern AtomicWord nested_entries __attribute__((visibility("hidden")));

// The calling thread's token.
AO_t ThisThread();

// Claims a heap that this thread holds, or makes it hold one. Null when there
// is no memory for a heap. Signal-safe.
Heap* ClaimHeap(const ClaimFrame& frame);

// Claims the current heap for a block of another; null when it is claimed, or
// when there is none: a late free in a thread that ends must not make it hold
// one. A thread that frees many gets one, to gather them in.
Heap* ClaimForFreeSlow(const ClaimFrame& frame);
inline Heap* ClaimForFree(const ClaimFrame& frame) {
  Heap* heap = current;
  if (Unlikely(heap == nullptr)) return ClaimForFreeSlow(frame);
  if (Likely(heap->claim.Claim(frame))) return heap;
  AddRelaxed(&nested_entries, 1);
  return nullptr;
}

// Gives back the empty slabs of all heaps that the calling thread holds or
// nobody does, after draining them.
void TrimHeaps();

// Takes the remote frees of threads that may be asleep, for this one to
// allocate.
void RaidHeaps();

// Drains a heap that no thread holds, if the next one in turn has remote
// frees; so that memory freed to heaps of ended threads comes back.
void DrainIdleHeap(const ClaimFrame& frame);

// The heaps of the registry: the first, and the one after a heap; null after
// the last.
Heap* Registry();
Heap* Next(const Heap* heap);

// Where the registry is found: for debuggers, everybody else asks Registry. The
// first heaps are enough for a small program and its handlers: no memory need
// be found for them, not even when the dynamic loader calls.
constexpr int kFirstHeaps = 4;
extern Heap first_heaps[kFirstHeaps] __attribute__((visibility("hidden")));
// Heap*; 0 stands for first_heaps.
extern AtomicWord registry __attribute__((visibility("hidden")));

// Releases all heaps of the calling thread, as at its end.
void ReleaseHeaps();

}  // namespace aomalloc::thread

#endif  // AOMALLOC_CORE_THREAD_H_
