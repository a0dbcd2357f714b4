// Two threads that take turns, and calls that are interrupted.
#ifndef AOMALLOC_TEST_FUZZ_THREADS_H_
#define AOMALLOC_TEST_FUZZ_THREADS_H_

namespace fuzz {

// Runs `calls` in each of two threads until it has returned in both. One of
// them runs at a time.
void RunThreads(void (*calls)());

// Stops this thread until the other does the same or ends. Nothing happens if
// it has ended already.
void LetTheOtherGoOn();

// The thread ends when `calls` returns, and another begins in its place.
void EndThread();

// The next but `skip` interruptible part is interrupted after so many
// instructions: by a signal whose handler runs `calls`, as long as these nest
// no deeper than is reasonable.
void InterruptAfter(int skip, int instructions);
void BeginInterruptible();
void EndInterruptible();

// This is a handler, of this thread.
bool InHandler();

// Leaves all handlers of this thread and what they interrupted, for good, and
// begins with `calls` again.
[[noreturn]] void LeaveForGood();

}  // namespace fuzz

#endif  // AOMALLOC_TEST_FUZZ_THREADS_H_
