// Who takes part: threads, the handlers that interrupt them, what they count,
// and what happens when one of them finds something wrong or stands still.
#ifndef AOMALLOC_TEST_SIGNAL_STORMS_WORKER_H_
#define AOMALLOC_TEST_SIGNAL_STORMS_WORKER_H_

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <atomic>

#include "test/random.h"

namespace storms {

// Says on stderr, in one line, what is wrong, and ends the process with status
// 1. From anywhere.
[[noreturn]] void Fail(const char* format, ...)
    __attribute__((format(printf, 1, 2)));

// A line on stdout, without stdio, which allocates and locks.
void Say(const char* format, ...) __attribute__((format(printf, 1, 2)));

using aomalloc::Random;

// A seed that nobody else in this process, or beside it, has.
uint64_t NewSeed();

// A thread that takes part. What a thread and its handlers both count is
// counted atomically.
struct alignas(64) Worker {
  std::atomic<int> tid{0};  // 0: nobody
  std::atomic<uint64_t> operations{0};
  std::atomic<uint64_t> refused{0};  // that got no memory
  std::atomic<uint64_t> signals{0};  // handlers run
  std::atomic<uint64_t> nested{0};   // of them, inside a call of the allocator
  std::atomic<uint64_t> deep{0};     // of them, inside one of a handler's own
  volatile size_t inside = 0;  // bytes that the call under way is about, or 0
  volatile int depth = 0;      // handlers under way
  timer_t timer{};
};

constexpr int kMaxWorkers = 64;
extern Worker workers[kMaxWorkers];
extern thread_local Worker* me;  // null: not taking part

// The calling thread takes part from here, or until here.
void Enlist();
void Discharge();

// In the child of a fork: the calling thread goes on as the only one.
void StayAlone();

// The signal of ArmTimer, for those who handle it.
extern const int kTimerSignal;

// Gives the calling worker a timer, which sends kTimerSignal to it.
void MakeTimer();

// Has the timer go off once, within `nanoseconds`. Once: a thread that rearms
// its timer itself gets on, however slow it is.
void ArmTimer(Random* random, size_t nanoseconds);

void Handle(int signal, int flags, void (*handler)(int));

// A stack for the calling thread's handlers, given back when it is discharged.
void UseAlternateStack();

// On the stack of each handler that uses the allocator: counts it and keeps
// errno.
class Handling {
 public:
  // Deeper is not interesting, and might never end.
  static constexpr int kMaxDepth = 4;

  Handling() : errno_(errno) {
    if (me == nullptr) return;
    inside_ = me->inside;
    depth_ = me->depth;
    ++me->signals;
    if (inside_ != 0) ++me->nested;
    if (inside_ != 0 && depth_ != 0) ++me->deep;
    me->depth = depth_ + 1;
    me->inside = 0;
  }
  ~Handling() {
    if (me != nullptr) {
      me->inside = inside_;
      me->depth = depth_;
    }
    errno = errno_;
  }
  Handling(const Handling&) = delete;
  Handling& operator=(const Handling&) = delete;

  // Bytes that the interrupted call is about; 0 if none was interrupted.
  size_t inside() const { return inside_; }
  int depth() const { return depth_; }
  bool MayAct() const { return me != nullptr && depth_ < kMaxDepth; }

 private:
  const int errno_;
  size_t inside_ = 0;
  int depth_ = 0;
};

// From now on, fails when a worker has completed no operation for so long that
// it must be waiting for somebody.
void WatchProgress();

// The sum of one of the counts over all workers.
uint64_t Sum(std::atomic<uint64_t> Worker::*count);

// Prints the figures of all workers, and the program's own behind them.
void SayFigures(const char* format, ...) __attribute__((format(printf, 1, 2)));

// The physical memory of the process.
size_t ResidentBytes();

// Some systems give huge pages unasked, and a byte may take 2 MiB then: not in
// this process and those that it starts.
void ForbidHugePages();

// The first argument, or `otherwise`.
uint64_t CountArgument(int argc, char** argv, uint64_t otherwise);

}  // namespace storms

#endif  // AOMALLOC_TEST_SIGNAL_STORMS_WORKER_H_
