// Threads: which heaps a thread holds, nested entries, thread exit.
//
// A thread holds every heap whose `holder` word is the thread's token. A token
// is made of the address of one of the thread's variables and, where it is
// known, the thread's id. The id is there because a new thread may get the
// memory of one that vanished: it must not be taken for that thread. `current`
// caches the heap that the thread tries first.
//
// Heaps are on one list, the registry, for ever (registry.h). A thread has a
// list of those that it holds. An operation that finds the current heap claimed
// is a handler, nested in another operation. It uses the first heap of its
// thread's list that is not claimed, or it acquires one. So a thread holds as
// many heaps as its operations were ever nested.
//
// The frame of an abandoned claim may stay as it was for long, so that it looks
// like an interrupted one's (claim.h). If the current heap is found with the
// same claim again and again, it rests: another heap becomes the current one.
// Each slow path looks at the resting heap, which becomes the current one again
// when it can be claimed. (So it does, too, after a handler that was long at
// work.)
//
// When a thread ends, its heaps are released with all that they contain, and a
// later thread acquires them. Operations may still follow: in handlers that
// interrupt the release, and in destructors that run after it. Each of these
// acquires a heap that nobody holds, and releases it when it is complete. It
// does not touch a heap that its thread holds, which may be the one that is
// being released. The heaps of a thread that vanished without all this are
// found when no other heap is free (liveness.h).
//
// Who touches what: any thread may change `holder` from 0 or from the token of
// a vanished thread. Otherwise only the holder, and its handlers, change it.
// Only they claim the heap. The thread's variables are its own and its
// handlers'.
//
// Commit: the `holder` word is all there is. A heap is acquired by one
// compare-and-swap, from 0 or from the token of a vanished thread, and released
// by one store.
//
// Interruption: so there is no moment at which an interruption loses a heap
// that is in the registry. An operation that is abandoned after it has acquired
// a heap, and before the heap is on the thread's list or released, leaves
// `unlisted` too high: from then on the thread searches the registry for its
// heaps.
#ifndef AOMALLOC_CORE_THREAD_THREAD_H_
#define AOMALLOC_CORE_THREAD_THREAD_H_

#include "core/heap/claim.h"
#include "core/heap/heap.h"
#include "core/thread/registry.h"

namespace aomalloc::thread {

// The heap to try first; null in a thread that has not allocated yet. The
// initial-exec model needs no call and no allocation at the first use. (It is
// __thread because for thread_local a compiler allows for a constructor.)
extern __thread Heap* current
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

// For reports: how often an operation found the current heap claimed by an
// operation that it had interrupted.
extern AtomicWord nested_entries __attribute__((visibility("hidden")));

// The calling thread's token. Signal-safe.
AO_t ThisThread();

// Claims a heap that this thread holds. If there is none that can be claimed,
// the thread gets another heap. Null when there is no memory for that.
// Signal-safe.
Heap* ClaimHeap(const ClaimFrame& frame);

// Ends the claim on a heap that one of the functions here has claimed.
void Unclaim(Heap* heap, const ClaimFrame& frame);

// Claims the current heap, to free a block of another heap. Null when it is
// claimed. Null, too, when there is no current heap: a late free in a thread
// that ends must not make it hold one. A thread that frees many blocks gets a
// heap all the same, to gather them.
Heap* ClaimForFreeSlow(const ClaimFrame& frame);
inline Heap* ClaimForFree(const ClaimFrame& frame) {
  Heap* heap = current;
  if (Unlikely(heap == nullptr)) return ClaimForFreeSlow(frame);
  if (Likely(heap->claim.Claim(frame))) return heap;
  frame.Erase();
  AddRelaxed(&nested_entries, 1);
  return nullptr;
}

// Drains all heaps that the calling thread holds or that no thread holds, and
// gives back their empty slabs. Heaps in use are left out.
void TrimHeaps();

// Gives free pages inside of the slabs of these heaps back to the system. True
// if there were any.
bool PurgeHeaps();

// Takes the remote frees of other threads, which may be asleep, so that this
// one can allocate them.
void RaidHeaps();

// To be called when remote frees were sent to a heap and its inbox is crowded.
// If no thread holds the heap, what waits there is drained at once. The caller
// has claimed another heap for `frame`.
void Relieve(Heap* heap, const ClaimFrame& frame);

// Looks at one heap of the registry; each time the thread looks at the next
// one. If no thread holds it, and remote frees wait there, it is drained. So
// memory that was freed to heaps of ended threads comes back.
void DrainIdleHeap(const ClaimFrame& frame);

// Releases all heaps of the calling thread, except those that a later operation
// of an ending thread has acquired. Runs when the thread ends.
void ReleaseHeaps();

}  // namespace aomalloc::thread

#endif  // AOMALLOC_CORE_THREAD_THREAD_H_
