// What the tracer and the traced process know of each other: a page of shared
// memory, the marks that a traced thread passes, and what a trial is.
#ifndef AOMALLOC_TEST_STEPPER_SHARED_H_
#define AOMALLOC_TEST_STEPPER_SHARED_H_

#include <stddef.h>

namespace stepper {

// What happens to the operation under test at the boundary that is tried.
enum class Mode {
  kRecord,   // nothing: the path is recorded
  kHandler,  // a handler on a small alternate stack uses the allocator
  kOnStack,  // one on the thread's own stack takes two blocks, frees the first
  kLongjmp,  // a handler leaves by siglongjmp, time and again
  kPark,     // the thread stops, another carries on; then it resumes
  kKill,     // the thread ends there by the exit system call
  kFork,     // a handler forks
  kNested,   // a handler's own malloc is interrupted by a second handler
  kCrash,    // a fatal signal is reported, and an older handler uses the
             // allocator
  // Instead, a system call that it makes fails (calls.h):
  kRefused,
  kDenied,
  kActed,
  kHalf,
  kTorn,
};
constexpr int kNumModes = 14;
extern const char* const kModeNames[kNumModes];

// Marks: an int3 with one of these in the accumulator.
enum Mark : unsigned long {
  kTraced = 0x57e00,   // a thread is traced from now on
  kPrelude = 0x57e01,  // an operation follows that is to be stopped on the way
  kBegin,              // the operation under test follows
  kEnd,                // it is complete
  kNestedBegin,        // the handler's first malloc follows
  kNestedEnd,
};

inline void Pass(Mark mark) {
  __asm__ volatile("int3" : : "a"(mark) : "memory");
}

// A flag that one side sets, once, and the other waits for.
class Event {
 public:
  void Set();
  void Wait();
  // False when `milliseconds` have passed.
  bool WaitFor(int milliseconds);
  void Clear() { value_ = 0; }
  bool IsSet() const { return value_ != 0; }

 private:
  volatile int value_ = 0;
};

// What the peer is asked for, by the thread under test or by the tracer.
enum Request { kNothing, kCall, kDoWithout, kFinished };

struct Shared {
  Event requested;
  volatile int request = kNothing;
  Event peer_done;  // the others have done without the thread under test
  volatile long growth = 0;  // bytes that the heap grew by, kLongjmp
  volatile int failed = 0;
  char message[200] = {};
};

struct Scenario;

struct Trial {
  const Scenario* scenario;
  Mode mode;
  int iterations;   // how often the operation is run
  int settled;      // of these, before the heap is measured for the first time
  int variant;      // of what the handler does; if a call fails, how often all
                    // sizes are used afterwards
  bool is_ours;     // the library is libaomalloc.so
  int error;        // what the call that is made to fail says
  bool is_stocked;  // there are blocks of all sizes beside
  long call;        // the number of that call
  int delay;        // instructions from the claim to where the prelude stops
};

// Set in the runner before it forks the process of a trial.
extern Shared* shared;
extern Trial trial;

// Who makes no progress for so long is taken to wait for somebody.
extern int deadline_seconds;

// Notes why the trial failed and ends its process. Signal-safe.
[[noreturn]] void Fail(const char* what, const void* where = nullptr);

}  // namespace stepper

#endif  // AOMALLOC_TEST_STEPPER_SHARED_H_
