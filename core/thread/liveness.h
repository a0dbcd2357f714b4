// Liveness: which threads have ended, so that their heaps may be taken over.
//
// A thread that ends by the raw exit system call never releases its heaps. Nor
// does a thread that a fork leaves behind. So a slow path asks the kernel for
// the thread, by its id. The difficulty is fork. In the child, every recorded
// id is one of the parent. This includes the id of the one thread that
// survived, and its heaps must not be taken for a dead thread's. So a word
// holds the process id, on a page that the kernel clears in the child of a
// fork:
//
//   0                   No thread is known to be dead.
//   our process id      The ids that were recorded since are those of our
//                       threads. A thread is dead if the kernel does not find
//                       it in our process.
//   another process id  This is a child of vfork, which borrows a thread of the
//                       parent and its memory. It records no id and asks
//                       nothing.
//
// Without mmap no system call may be made, and no thread is known to be dead.
//
// Who touches what: any thread and handler reads the word. Only the first
// thread of a process writes it: the one whose thread id is the process id. In
// the child of a fork that is the surviving thread.
//
// Commit: ProcessIsKnown commits with its store of the process id. The first
// thread has recorded its own id in its heaps before.
//
// Interruption: stopped anywhere before that store, the first thread leaves 0.
#ifndef AOMALLOC_CORE_THREAD_LIVENESS_H_
#define AOMALLOC_CORE_THREAD_LIVENESS_H_

#include "core/base/atomics.h"

namespace aomalloc::liveness {

// True in the first thread of a new process, one that was started or forked,
// until ProcessIsKnown is called. Cheap when that was done. When it is true,
// the caller records ThreadId() in its heaps, and then calls ProcessIsKnown.
bool ProcessIsNew();
void ProcessIsKnown();

// The calling thread's id; 0 where it is not known. IdToRecord: the same, but 0
// as long as recorded ids mean nothing.
AO_t ThreadId();
AO_t IdToRecord();

// True if the thread whose id was recorded has certainly ended. False for 0.
bool IsDead(AO_t recorded);

}  // namespace aomalloc::liveness

#endif  // AOMALLOC_CORE_THREAD_LIVENESS_H_
