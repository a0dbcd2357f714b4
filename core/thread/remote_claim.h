// Remote claims: how an operation works on a heap that another thread holds,
// while that thread sleeps or computes.
//
// An operation that has claimed a heap of its own thread, `from`, may visit
// another heap, one at a time. It notes the visit in `from`, and then puts a
// tag into the other heap's claim word, which has to be free. The tag names
// `from` and the number of the visit.
//
//   from->visit   the number of the last visit, in the upper 16 bits; the heap
//                 that is visited, or 0; and kInside once that heap is claimed
//   heap->claim   that number; `from`; and kRemote (claim.h)
//
// Who holds the heap claims it without an atomic operation (claim.h): a plain
// add may overwrite a tag that was put there between its load and its store.
// Therefore the visitor has all running threads pass a memory barrier
// (membarrier), and looks again. If the word is still its tag, then no
// operation had begun before. One that begins after the barrier finds the word
// set, as a handler does, and uses another heap. If an operation was stopped
// between its look at the word and its add, then its sum is not its tag, and it
// takes its part off again. If the word is anything else, the visitor retreats.
//
// A visit ends with a store to `from->visit`. The visitor does not touch the
// claim word again, which such an add might undo. So the tag stays there. The
// next operation of the heap's holder finds it, sees that the visit has ended,
// and takes the claim over by a compare-and-swap, once for each visit. Another
// visitor may do the same. Numbers repeat after 65,536 visits for one heap. So
// whoever takes over a tag that he saw before has seen the end of that visit.
//
// Who touches what: `visit` is written by the operation that has claimed
// `from`. Any thread that finds a tag in a claim word reads it.
//
// Commit: the heap is the visitor's from its second look at the word on, and
// the holder's again from the store to `visit` on.
//
// Order: the barrier shows the visitor all that the holder has done: it ended
// its last operation before the barrier, and what it stored is there after it.
// The store that ends the visit is a release, and HasEnded acquires. On
// machines other than x86-64 the holder claims by a compare-and-swap, which
// overwrites nothing, but orders nothing either: its stores need the barrier
// just as much.
//
// Interruption: if the visitor stops for ever, the heap's holder uses another
// heap instead, and others that look for a heap leave this one alone. If the
// visitor's operation is torn off, or its thread vanishes, then the claim on
// `from` is abandoned. Who takes that over finds the visit noted, and ends it
// (Repair): so every claim that was taken over is to be followed by it.
//
// If a longjmp comes between the add of a stopped operation and its undoing,
// while a visit is under way, the word keeps a value that names no visit. Then
// it is not known whether the visit has ended, and nobody has the heap any
// more.
//
// Where membarrier is not to be had there are no visits: with the static heap,
// which makes no system call; where the kernel or a filter refuses it; and
// where somebody handles SIGSYS, as sandboxes do (os.h).
#ifndef AOMALLOC_CORE_THREAD_REMOTE_CLAIM_H_
#define AOMALLOC_CORE_THREAD_REMOTE_CLAIM_H_

#include "core/heap/claim.h"
#include "core/heap/heap.h"

namespace aomalloc::remote_claim {

// Claims `heap`, which another thread may hold, for the operation that has
// claimed `from`. False if it is in use, or if there are no remote claims.
bool Begin(Heap* from, Heap* heap);

// Ends the visit that `from` has noted.
void End(Heap* from);

// True if `seen`, the claim word of `heap`, may be that of a visit that has not
// ended. If it is one that has ended, then the caller, if it takes the claim
// over, sees what the visitor has done.
bool IsUnderWay(const Heap* heap, AO_t seen);

// To be called when an abandoned claim on `heap` was taken over, or that of a
// visit that has ended: repairs the heap, and first that which it has visited.
void Repair(Heap* heap);

}  // namespace aomalloc::remote_claim

#endif  // AOMALLOC_CORE_THREAD_REMOTE_CLAIM_H_
