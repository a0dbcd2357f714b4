// storm [COUNT]: threads come and go and use the allocator at random, exchange
// their blocks, and are interrupted by signals whose handlers do the same, four
// deep, until COUNT handlers have run inside a call of the allocator.
//
// Each thread has a timer that it arms before an operation; besides, a thread
// sprays four signals, on alternate stacks and not, masked and not.
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "test/signal_storms/blocks.h"
#include "test/signal_storms/worker.h"

namespace storms {
namespace {

constexpr int kThreads = 3;  // and the first one
constexpr uint64_t kShortCount = 500;
// What threads that are gone and stdio may keep.
constexpr size_t kKept = size_t{64} << 10;
constexpr size_t kMaxDelay = 50000;  // nanoseconds, until a timer goes off

constexpr struct {
  int signal;
  int flags;
} kSignals[] = {
    {SIGPROF, SA_NODEFER | SA_ONSTACK},
    {SIGUSR1, SA_NODEFER},
    {SIGUSR2, SA_ONSTACK},
    {SIGVTALRM, 0},
};

std::atomic<bool> stop{false};

void Act(int) {
  Handling handling;
  if (!handling.MayAct()) return;
  Random random(NewSeed());
  if (random.Below(2) == 0) ArmTimer(&random, kMaxDelay);
  if (handling.inside() != 0 && random.Below(2) == 0) {
    TakeTwoKeepOne(&random, handling.inside());
    return;
  }
  for (size_t i = random.Below(6); i-- > 0;) Operate(&random);
}

void OperateInterrupted(Random* random) {
  if (random->Below(8) == 0) ArmTimer(random, kMaxDelay);
  Operate(random);
}

void* Work(void*) {
  Enlist();
  MakeTimer();
  UseAlternateStack();
  Random random(NewSeed());
  while (!stop) OperateInterrupted(&random);
  Discharge();
  return nullptr;
}

void* WorkBriefly(void*) {
  Enlist();
  MakeTimer();
  UseAlternateStack();
  Random random(NewSeed());
  for (size_t i = random.Below(300); i-- > 0;) OperateInterrupted(&random);
  Discharge();
  return nullptr;
}

// Only those who have got on since the last time are interrupted again.
void* Spray(void*) {
  uint64_t seen[kMaxWorkers] = {};
  Random random(NewSeed());
  while (!stop) {
    for (int i = 0; i < kMaxWorkers; ++i) {
      const int tid = workers[i].tid;
      const uint64_t operations = workers[i].operations;
      if (tid == 0 || operations == seen[i]) continue;
      seen[i] = operations;
      tgkill(getpid(), tid, kSignals[random.Below(4)].signal);
    }
    sched_yield();
  }
  return nullptr;
}

pthread_t Start(void* (*function)(void*)) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, function, nullptr) != 0) {
    Fail("pthread_create");
  }
  return thread;
}

size_t BytesInUse() {
  malloc_trim(0);  // brings the remote frees home
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

void Run(uint64_t count) {
  for (const auto& each : kSignals) Handle(each.signal, each.flags, Act);
  WatchProgress();
  Enlist();
  MakeTimer();
  UseAlternateStack();
  const size_t bytes = BytesInUse();
  pthread_t spraying = Start(Spray);
  pthread_t working[kThreads];
  for (pthread_t& thread : working) thread = Start(Work);
  Random random(NewSeed());
  unsigned long brief = 0;
  while (Sum(&Worker::nested) < count) {
    for (int i = 0; i < 100; ++i) OperateInterrupted(&random);
    ArmTimer(&random, 50 * kMaxDelay);  // in the midst of what follows
    pthread_t thread;
    if (pthread_create(&thread, nullptr, WorkBriefly, nullptr) == 0) {
      pthread_join(thread, nullptr);
      ++brief;
    } else if (!may_run_out) {
      Fail("pthread_create");
    }
  }
  stop = true;
  for (pthread_t thread : working) pthread_join(thread, nullptr);
  pthread_join(spraying, nullptr);
  FreeAll();
  const size_t bytes_now = BytesInUse();
  if (bytes_now > bytes + kKept) {
    Fail("all is freed, but %zu bytes more than at first are in use",
         bytes_now - bytes);
  }
  Discharge();
  SayFigures("; %lu threads came and went", brief);
}

}  // namespace
}  // namespace storms

int main(int argc, char** argv) {
  storms::Run(storms::CountArgument(argc, argv, storms::kShortCount));
}
