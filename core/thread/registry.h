// The registry: all heaps there are, on one list, for ever; and the searches
// for one that a thread may have.
//
// Who touches what: any thread and handler may call anything here, at any time.
//
// Commit: Register's compare-and-swap puts heaps on the registry. A heap is
// acquired by one compare-and-swap of its `holder`, from 0 or from the token of
// a vanished thread.
//
// Interruption: an operation that is abandoned after that leaves the heap with
// its thread (thread.h). One that adds heaps and is abandoned before they are
// in the registry loses them: one spare heap, or one run. One that is abandoned
// while it takes a heap from a vanished thread loses that heap for as long as
// its own thread lives.
//
// A search looks at a bounded number of heaps, and the next one goes on where
// it stopped. So what a thread costs does not grow with the number of threads,
// where their ids are known (thread.cc, HasUnlisted).
// If more heaps are free than a search sees, one is added although it need not
// be; the next searches find them.
#ifndef AOMALLOC_CORE_THREAD_REGISTRY_H_
#define AOMALLOC_CORE_THREAD_REGISTRY_H_

#include "core/base/atomics.h"
#include "core/heap/claim.h"
#include "core/heap/heap.h"

namespace aomalloc::thread {

// The heaps of the registry: the first one, and the one after `heap`; null
// after the last.
Heap* Registry();
Heap* Next(const Heap* heap);

// Where a debugger finds the registry; other code calls Registry. The first
// heaps are enough for a small program and its handlers. No memory has to be
// found for them, not even when the dynamic loader calls malloc.
constexpr int kFirstHeaps = 4;
extern Heap first_heaps[kFirstHeaps] __attribute__((visibility("hidden")));
// Heap*; 0 stands for first_heaps.
extern AtomicWord registry __attribute__((visibility("hidden")));

// Makes the thread that has this token hold the heap, if nobody does. `frame`
// is the caller's.
bool AcquireIdle(Heap* heap, AO_t token, const ClaimFrame& frame);

// The same, if a vanished thread holds the heap. Its work on it is put right.
bool AcquireDead(Heap* heap, AO_t token, const ClaimFrame& frame);

// Each of these makes that thread hold a heap, and returns it. Null if there is
// none: that nobody holds; that a vanished thread holds, or nobody; or, if
// there is memory for one, that is new.
Heap* AcquireFree(AO_t token, const ClaimFrame& frame);
Heap* AcquireFromDead(AO_t token, const ClaimFrame& frame);
Heap* AddHeaps(AO_t token);

// Maps heaps for some tens of threads, so that they need not lie in the static
// heap. If the system refuses, they do. To be called at most once, before there
// are threads.
void MapHeaps();

// To be called when a thread has released a heap: the next search begins there.
void NoteFree(Heap* heap);

}  // namespace aomalloc::thread

#endif  // AOMALLOC_CORE_THREAD_REGISTRY_H_
