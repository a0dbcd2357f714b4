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
// Each call of ClaimHeap looks at the resting heap, which becomes the current
// one again when it can be claimed. (So it does, too, after a handler that was
// long at work.)
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

// Claims a heap that this thread holds, if that is not in use. Another thread
// may have visited it (remote_claim.h): then the fast path's Claim fails, once.
// If this fails, too, the frame is erased.
bool TakeBack(Heap* heap, const ClaimFrame& frame);
inline bool ClaimHeld(Heap* heap, const ClaimFrame& frame) {
  return Likely(heap->claim.Claim(frame)) || TakeBack(heap, frame);
}

// Claims the current heap, to free a block of another heap. Null when it is
// claimed. Null, too, when there is no current heap: a late free in a thread
// that ends must not make it hold one. A thread that frees many blocks gets a
// heap all the same, to gather them.
Heap* ClaimForFreeSlow(const ClaimFrame& frame);
inline Heap* ClaimForFree(const ClaimFrame& frame) {
  Heap* heap = current;
  if (Unlikely(heap == nullptr)) return ClaimForFreeSlow(frame);
  if (ClaimHeld(heap, frame)) return heap;
  AddRelaxed(&nested_entries, 1);
  return nullptr;
}

// A claim on a heap that the calling thread need not hold, for as long as the
// object lives. There is none if the heap is in use, or could not be claimed
// for another reason. A heap that another thread holds is claimed only if there
// is a `from`: the caller has claimed that heap for `frame` (remote_claim.h).
//
// If the operation is abandoned, a heap that nobody held stays this thread's.
class Visit {
 public:
  Visit(Heap* heap, const ClaimFrame& frame, Heap* from);
  ~Visit();
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

  explicit operator bool() const { return kind_ != Kind::kNone; }
  // True if another thread holds the heap.
  bool is_remote() const { return kind_ == Kind::kRemote; }

 private:
  enum class Kind { kNone, kHeld, kIdle, kRemote };

  Heap* const heap_;
  const ClaimFrame& frame_;
  Heap* const from_;
  Kind kind_ = Kind::kNone;
};

// Releases all heaps of the calling thread, except those that a later operation
// of an ending thread has acquired. Runs when the thread ends.
void ReleaseHeaps();

}  // namespace aomalloc::thread

#endif  // AOMALLOC_CORE_THREAD_THREAD_H_
