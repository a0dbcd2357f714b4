// Visits: memory comes back from heaps that their threads do not use.
//
// Remote frees wait in the inbox of the heap that they were sent to. Its thread
// drains it when it next refills. But it may be asleep, or have ended, and then
// nobody else might ask for that memory for long. So others visit the heap:
//
//   when                            which heap
//   64 KiB were sent to it          that one, at once, if nobody holds it; else
//                                   when a mebibyte waits
//   a new slab is needed            another one each time; the same holds
//   malloc_trim, memory runs out    all; of those that others hold, where it is
//                                   worth while: 16 KiB wait or are held back,
//                                   or free runs are kept
//
// A thread that allocates drains its inbox with every few KiB that it takes. So
// where a mebibyte waits, the thread sleeps, or is held up for long; or much
// was sent at once. A heap in which nothing could be done is left alone until
// another mebibyte has come.
//
// Who touches what: any thread and handler may call anything here at any time.
// What they do to a heap they do under a claim (thread.h, remote_claim.h).
//
// Commit and interruption: as the operations on heaps say (heap.h).
#ifndef AOMALLOC_CORE_THREAD_VISITS_H_
#define AOMALLOC_CORE_THREAD_VISITS_H_

#include "core/heap/claim.h"
#include "core/heap/heap.h"

namespace aomalloc::visits {

// To be called when batches were sent to `heap` and its inbox is crowded. The
// caller has claimed its own heap, `from`, for `frame`.
void Relieve(Heap* heap, const ClaimFrame& frame, Heap* from);

// To be called when a block was sent to `heap` by an operation that has claimed
// no heap. If the inbox is crowded, a thread that holds no heap gets one, and
// relieves it. In a handler that interrupted the allocator nothing is done.
void RelieveWithoutHeap(Heap* heap);

// Looks at one heap of the registry; each time the thread looks at the next
// one. Drains it if that is worth while. The same holds for the caller.
void DrainNext(const ClaimFrame& frame, Heap* from);

// Drains all heaps and gives back their empty slabs and kept runs. Heaps in use
// are left out.
void TrimAll();

// Gives free pages inside of slabs back to the system, of heaps that the caller
// or nobody holds. True if there were any.
bool PurgeAll();

// Takes the remote frees of other threads, which may be asleep, so that this
// one can allocate them.
void RaidAll();

}  // namespace aomalloc::visits

#endif  // AOMALLOC_CORE_THREAD_VISITS_H_
