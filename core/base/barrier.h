// A memory barrier that all running threads of the process pass (membarrier).
//
// Who touches what: any thread and handler may call anything here. All that is
// kept is that the processor itself runs the instructions (PassAll).
//
// A filter may refuse the call, or pretend that it was made: both are noticed,
// at each call anew. It may kill the process for it. One that traps it has a
// handler for SIGSYS: then the call is not made.
#ifndef AOMALLOC_CORE_BASE_BARRIER_H_
#define AOMALLOC_CORE_BASE_BARRIER_H_

namespace aomalloc::barrier {

// To be called first, best while there is one thread; later the kernel takes
// some milliseconds over it.
void Prepare();

// True if every other thread of the process has passed a memory barrier during
// the call, between two of its instructions: what it has stored before is
// visible now, and what it loads afterwards is not older. False if that is not
// certain. It is not, on x86-64, where instructions are translated: an
// instruction that loads and stores may be several there, and the barrier may
// come in between.
bool PassAll();

}  // namespace aomalloc::barrier

#endif  // AOMALLOC_CORE_BASE_BARRIER_H_
