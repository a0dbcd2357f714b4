// Which threads are still there: whose heaps may be taken over.
//
// A thread that ends by the raw exit system call, or is left behind by fork,
// never releases its heaps. Its absence is asked of the kernel, by thread id,
// on a slow path. The difficulty is fork: in the child every recorded id is of
// the parent, that of the one thread that survived included, and its heaps must
// not be taken for dead. So a word on a page that the kernel clears in a fork
// child holds the process id:
//
//   it is 0             nobody is known to be dead
//   it is our process   ids recorded since are ours, those of others are dead
//   it is another's     this is a child of vfork, which borrows a thread of the
//                       parent and its memory: record no id, ask nothing
//
// In a fork child the surviving thread has the thread id that equals the
// process id. It alone turns 0 into the process id, after having recorded its
// own new id in its heaps. Stopped anywhere before, it leaves 0.
//
// Without mmap no system call may be made, and no thread is known to be dead.
#ifndef AOMALLOC_CORE_LIVENESS_H_
#define AOMALLOC_CORE_LIVENESS_H_

#include "core/atomics.h"

namespace aomalloc::liveness {

// Thread ids are below 2^kIdBits (Linux: PID_MAX_LIMIT); 0 stands for one that
// is not known.
constexpr int kIdBits = 22;

// True in the first thread of a process that is new: started, or forked. Cheap
// when it is not. The caller then records ThreadId() in its heaps and calls
// ProcessIsKnown.
bool ProcessIsNew();
void ProcessIsKnown();

// The calling thread's id; and the same as long as ids mean something, else 0.
AO_t ThreadId();
AO_t IdToRecord();

// True if the thread of a recorded id is certain to have ended.
bool IsDead(AO_t recorded);

}  // namespace aomalloc::liveness

#endif  // AOMALLOC_CORE_LIVENESS_H_
