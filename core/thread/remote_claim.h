// Remote claims: how an operation works on a heap that another thread holds,
// while that thread sleeps or computes.
//
// An operation that has claimed a heap of its own thread, `from`, may visit
// another heap, one at a time. It takes one of a few places, notes the visit
// there, and then puts a tag into the other heap's claim word, which has to be
// free. The tag names the place and the number of the visit. No two visits have
// the same tag, ever: so whoever takes over a tag that he saw before has seen
// the end of that visit.
//
// Who holds the heap claims it without an atomic operation (claim.h): a plain
// add may overwrite a tag that was put there between its load and its store.
// Therefore the visitor has all running threads pass a memory barrier
// (base/barrier.h), and looks again. If the word is still its tag, then no
// operation had begun before. One that begins after the barrier finds the word
// set, as a handler does, and uses another heap. If an operation was stopped
// between its look at the word and its add, then its sum is not its tag, and it
// takes its part off again. If the word is anything else, the visitor retreats.
//
// A visit ends with a store to the state of the place. The visitor does not
// touch the claim word again, which such an add might undo. So the tag stays
// there. The next operation of the heap's holder finds it, sees that the visit
// has ended, and takes the claim over by a compare-and-swap, once for each
// visit. Another visitor may do the same.
//
// Who touches what: the operation that has claimed `from` has the place that
// `from` has taken. Any thread that finds a tag in a claim word reads what is
// noted there.
//
// Commit: the heap is the visitor's from its second look at the word on, and
// the holder's again from the store that ends the visit on.
//
// Order: the barrier shows the visitor all that the holder has done: it ended
// its last operation before the barrier, and what it stored is there after it.
// The store that ends the visit is a release, and IsUnderWay acquires. On
// machines other than x86-64 the holder claims by a compare-and-swap. So of the
// two who want the heap one fails, barrier or not. But that compare-and-swap
// orders nothing: what the holder has stored needs the barrier just as much.
//
// Interruption: if the visitor stops for ever, the heap's holder uses another
// heap instead, and others that look for a heap leave this one alone. If the
// visitor's operation is torn off, or its thread vanishes, then the claim on
// `from` is abandoned. Who takes that over finds the place of `from`, and ends
// the visit (Repair): so every claim that was taken over is to be followed by
// it. If the visitor's thread has vanished, those who find its tag again and
// again ask for that thread, and take `from` over (thread.cc, VisitorIsDoubted;
// this is why only a thread visits that would be found). If it was torn off and
// its thread sleeps, the heap waits until that one wakes or ends. The places of
// such visitors are taken until then; if all are, there are no more visits.
//
// An operation that is stopped between its add and the undoing of it leaves a
// sum in the word, of its tag and the visitor's. If it is torn off there, its
// thread uses another heap for as long as it lives. Who takes the heap over
// when that thread has ended, or vanished, looks whether anybody visits it.
//
// There are no visits with the static heap, which makes no system call, and
// where the barrier is not to be had (base/barrier.h): where the kernel or a
// filter refuses it, where somebody handles SIGSYS, as sandboxes do, and, on
// x86-64, where instructions are translated. There an add may be a load and a
// store, and the barrier may come in between. (On aarch64 a translator makes
// compare-and-swaps of compare-and-swaps. Stores reach memory no later than a
// real barrier of the machine below, which is what its call is passed on to.)
#ifndef AOMALLOC_CORE_THREAD_REMOTE_CLAIM_H_
#define AOMALLOC_CORE_THREAD_REMOTE_CLAIM_H_

#include "core/heap/claim.h"
#include "core/heap/heap.h"

namespace aomalloc::remote_claim {

// Claims `heap`, which another thread may hold, for the operation that has
// claimed `from`. False if it is in use, or if there are no remote claims.
bool Begin(const Heap* from, Heap* heap);

// Ends the visit that `from` has noted.
void End(const Heap* from);

// True if `seen`, the claim word of `heap` as PeekForVisit found it, may be
// that of a visit that has not ended. If it is one that has ended, then the
// caller, if it takes the claim over, sees what the visitor has done.
bool IsUnderWay(const Heap* heap, AO_t seen);

// The heap from which somebody visits `heap`; null if nobody does, or if it is
// not known. By then it may be another one.
Heap* VisitorOf(const Heap* heap);

// To be called when an abandoned claim on `heap` was taken over, or that of a
// visit that has ended: repairs the heap, and first that which it has visited.
void Repair(Heap* heap);

}  // namespace aomalloc::remote_claim

#endif  // AOMALLOC_CORE_THREAD_REMOTE_CLAIM_H_
