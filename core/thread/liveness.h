// Liveness: which threads have ended, so that their heaps may be taken over.
//
// A thread that ends by the raw exit system call never releases its heaps. Nor
// does a thread that a fork leaves behind. So a slow path asks the kernel for
// the thread, by its id. The difficulty is that ids mean something in one
// process only:
//
// - In the child of a fork, every recorded id is one of the parent. This
//   includes the id of the one thread that survived, whose heaps must not be
//   taken for a dead thread's.
// - A child of vfork, or of clone with CLONE_VM, borrows the parent's memory,
//   and sees none of the parent's threads among its own.
//
// So each process that has a memory of its own gets a number, its generation,
// which no ancestor has had. Heaps say under which generation their thread's id
// was recorded. The generation is in a word on a page that the kernel clears in
// the child of a fork:
//
//   0                  The generation is not known yet.
//   generation, id of  The ids that were recorded under this generation are
//   the process        those of its threads. Other ids are of ancestors, or
//                      were recorded by the one thread that survived the fork.
//   the same, and      The surviving thread has recorded its id anew. So other
//   kFirstRecorded     ids are those of threads that the fork has left behind.
//
// A thread may begin a generation, record its id, or find others dead only if
// it is certain that the memory is its process's own: the process has the id
// that the word says, and the kernel has one of two things for the thread that
// no borrower has.
//
// - A list of robust mutexes. The C library registers it for each thread that
//   it creates, and again in the child of fork and _Fork. In every other child
//   the kernel has none.
// - Restartable sequences. The C library registers them for each thread that it
//   creates. The kernel keeps them in a child with a memory of its own, and
//   drops them in one with CLONE_VM.
//
//   process                its threads
//   a program              Each records its id, and is found when it vanished.
//   child of fork, _Fork   The same. What the fork left behind is found at
//                          once.
//   child of raw clone     The same. What the clone left behind is found when
//   without CLONE_VM       the first thread has recorded its id. Without
//                          restartable sequences (glibc before 2.35,
//                          glibc.pthread.rseq=0) it records nothing: its heaps,
//                          and those that the clone left behind, are never
//                          found.
//   child of vfork, or of  Nobody records or finds anything. Who has the thread
//   clone with CLONE_VM    pointer of a thread uses that thread's heaps.
//
// "At once": the first thread of a child that was recorded in the parent is in
// no hurry, as it is not found while others go on. It records its id when other
// threads have begun to, or when it looks for heaps of vanished ones, or is
// about to visit one. So a child that has one thread, and frees little of what
// others have allocated, makes no system call for all this: a sandbox may kill
// it for one. Until the first thread has recorded its id, its heaps are
// told from others' by where its variables are. That follows from where its
// list of robust mutexes is, as the list is at the same distance from the
// variables in each thread. A program may have put a list of its own in the
// place of that. So there must be the thread's token in that place, which says
// where it is itself.
//
// The first thread of a process is not found while others go on: the kernel
// keeps it until they have ended, and says that it is there.
//
// In each of them, at any depth: a thread records and finds nothing without
// mmap, when no system call may be made; where the kernel clears no page or
// refuses a call; with musl, which registers neither. The heaps of such a
// thread, when it vanished, are found by one with the same thread pointer.
//
// Who touches what: any thread and handler reads the word. It changes as above.
//
// Commit: a generation commits with the compare-and-swap of the word from 0.
// FirstHasRecorded commits with another one. The surviving thread has recorded
// its id in its heaps before.
//
// Interruption: stopped anywhere before that, a thread has changed nothing but
// the next number. A handler may fork at any point. Then what was read before
// is out of date in the child, and the compare-and-swap fails. If a number was
// drawn and not committed yet, the parent and the child may both commit it:
// nobody has recorded anything under it before.
#ifndef AOMALLOC_CORE_THREAD_LIVENESS_H_
#define AOMALLOC_CORE_THREAD_LIVENESS_H_

#include <cstdint>

#include "core/base/atomics.h"
#include "core/heap/holder.h"

namespace aomalloc::liveness {

// The generation under which the calling thread has to record its id; 0 if it
// has done so, or must not, or need not do so now. `urgent`: the caller is
// about to ask IsDead or HasRecorded. Cheap when nothing is to be done.
uint32_t ToRecord(bool urgent);

// To be called when a thread has recorded `id` under `generation`, in all its
// heaps. It matters if the thread is its process's first.
void FirstHasRecorded(uint32_t generation, AO_t id);

// True if the calling thread has recorded its id under the generation of its
// process, and does not borrow that memory: it would be found if it vanished.
bool HasRecorded();

// The calling thread's id; 0 where the kernel does not say it.
AO_t ThreadId();

// True if the thread that has this token, in which its id was recorded under
// `generation`, has certainly ended. False for id 0.
bool IsDead(AO_t holder, uint32_t generation);

// What thread::ThisThread returns; 0 until its first call.
extern __thread AtomicWord token
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

// The generation under which the id in `token` was recorded.
extern __thread uint32_t recorded
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

// The token, without an id, of the thread whose variable is there. It has bits
// 6 to 47 of that address. This identifies a thread: the variables of two
// threads are at least 64 bytes apart, and user addresses are below 2^48. (On
// x86-64 they are below 2^47. With larger page tables, x86-64 and aarch64 map
// higher addresses only for programs that ask for them.)
inline AO_t TokenAt(const volatile void* variable) {
  return reinterpret_cast<AO_t>(variable) >> 6 << Holder::kIdBits;
}

}  // namespace aomalloc::liveness

#endif  // AOMALLOC_CORE_THREAD_LIVENESS_H_
