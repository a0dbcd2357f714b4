// spawn [COUNT]: COUNT children each of posix_spawn, vfork, fork, _Fork and raw
// clone, half of them started by a handler that interrupted the allocator, of a
// process in which other threads allocate without pause; then a line of
// descendants.
//
// A child uses the allocator, frees blocks of threads that are not there any
// more, and forks again; that of fork starts threads as well. Each descendant
// leaves busy threads behind, whose memory the next must find, or the last has
// grown.
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/signal_storms/blocks.h"
#include "test/signal_storms/worker.h"

extern char** environ;

namespace storms {
namespace {

constexpr int kBusy = 2;
constexpr uint64_t kShortCount = 10;
constexpr unsigned kDeadlineSeconds = 40;  // for a child
constexpr size_t kMaxDelay = 50000;  // nanoseconds, until a timer goes off
constexpr size_t kMaxSize = size_t{32} << 10;  // of a block

// Were the memory of threads that are gone not found again, there would be half
// a MiB of each in the end, 192 MiB. Some of it may be there: the heaps that
// nobody has used yet, of which there is a run, come before those of the dead.
constexpr int kGenerations = 24;
constexpr int kLeftBehind = 16;  // threads of each
constexpr size_t kLeftBlocks = 500;
constexpr size_t kLeftSize = 1000;
constexpr size_t kMaxResident = size_t{64} << 20;

const char kSpawned[] = "spawned";  // the argument of those of posix_spawn

enum Kind { kPosixSpawn, kVfork, kFork, kForkAlone, kClone, kNumKinds };
constexpr const char* kNames[] = {"posix_spawn", "vfork", "fork", "_Fork",
                                  "clone"};

std::atomic<bool> stop{false};
std::atomic<int> wanted{
    kNumKinds};  // what a handler of the first thread is to do
Worker* first;

void OperateOften(int count) {
  Random random(NewSeed());
  while (count-- > 0) Operate(&random);
}

void* OperateInThread(void*) {
  Enlist();
  OperateOften(100);
  Discharge();
  return nullptr;
}

void StartThreads() {
  for (int i = 0; i < 2; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, OperateInThread, nullptr) == 0) {
      pthread_join(thread, nullptr);
    } else if (!may_run_out) {
      Fail("pthread_create");
    }
  }
}

void Wait(Kind kind, bool in_handler, pid_t pid) {
  int status;
  if (pid < 0) Fail("%s failed", kNames[kind]);
  while (waitpid(pid, &status, 0) != pid) {
    if (errno != EINTR) Fail("waitpid");
  }
  if (status == 0) return;
  if (WIFSIGNALED(status)) {
    Fail("child of %s%s: died of signal %d%s", kNames[kind],
         in_handler ? " in a handler" : "", WTERMSIG(status),
         WTERMSIG(status) == SIGALRM ? " (it hangs)" : "");
  }
  Fail("child of %s%s: see above", kNames[kind],
       in_handler ? " in a handler" : "");
}

pid_t Fork(Kind kind) {
  if (kind == kFork) return fork();
  if (kind == kForkAlone) return _Fork();
  return static_cast<pid_t>(
      syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

// The threads of the parent are not here any more, and what they had in hand is
// lost.
void BeginChild() {
  alarm(kDeadlineSeconds);
  StayAlone();
  for (const Worker& worker : workers) {
    if (&worker != me) ForgetThoseOf(&worker);
  }
}

[[noreturn]] void BeChild(Kind kind) {
  BeginChild();
  MakeTimer();
  wanted = kNumKinds;
  Random random(NewSeed());
  ArmTimer(&random, kMaxDelay);
  OperateOften(100);
  FreeAll();
  const pid_t pid = Fork(kind);
  if (pid == 0) {
    BeginChild();
    OperateOften(50);
    FreeAll();
    _exit(0);
  }
  if (kind == kFork) StartThreads();
  OperateOften(100);
  Wait(kind, false, pid);
  FreeAll();
  _exit(0);
}

// The child borrows the thread and the memory of its parent, as a handler
// would.
__attribute__((noinline)) pid_t Vfork() {
  // NOLINTBEGIN(clang-analyzer-*): it is meant to be dangerous.
  const pid_t pid = vfork();
  if (pid == 0) {
    OperateOften(20);
    // NOLINTEND(clang-analyzer-*)
    _exit(0);
  }
  return pid;
}

void Start(Kind kind, bool in_handler) {
  pid_t pid = -1;
  if (kind == kPosixSpawn) {
    char self[] = "/proc/self/exe";
    char argument[sizeof(kSpawned)];
    memcpy(argument, kSpawned, sizeof(kSpawned));
    char* const argv[] = {self, argument, nullptr};
    const int error = posix_spawn(&pid, self, nullptr, nullptr, argv, environ);
    if (error != 0) Fail("posix_spawn: error %d", error);
  } else if (kind == kVfork) {
    pid = Vfork();
  } else {
    pid = Fork(kind);
    if (pid == 0) BeChild(kind);
  }
  Wait(kind, in_handler, pid);
}

void Act(int) {
  Handling handling;
  if (!handling.MayAct()) return;
  OperateOften(2);
  if (me != first || handling.inside() == 0 || wanted == kNumKinds) return;
  const Kind kind = static_cast<Kind>(wanted.exchange(kNumKinds));
  if (kind != kNumKinds) Start(kind, true);
}

void OperateInterrupted(Random* random) {
  if (random->Below(8) == 0) ArmTimer(random, kMaxDelay);
  Operate(random);
}

void* BeBusy(void*) {
  Enlist();
  MakeTimer();
  Random random(NewSeed());
  for (unsigned i = 0; !stop; ++i) {
    OperateInterrupted(&random);
    if (i % 64 == 0) sched_yield();
  }
  Discharge();
  return nullptr;
}

// What threads that will be left behind allocate and the next generation frees.
void* left[kLeftBehind][kLeftBlocks];
std::atomic<int> have_allocated{0};

void* BeLeftBehind(void* blocks) {
  Enlist();
  const size_t count = may_run_out ? kLeftBlocks / 8 : kLeftBlocks;
  for (size_t i = 0; i < count; ++i) {
    void* block = malloc(kLeftSize);
    if (block == nullptr && !may_run_out) Fail("no memory for the descendants");
    if (block != nullptr) memset(block, 1, kLeftSize);
    static_cast<void**>(blocks)[i] = block;
  }
  ++have_allocated;
  Random random(NewSeed());
  while (!stop) {
    Operate(&random);
    sched_yield();
  }
  Discharge();
  return nullptr;
}

[[noreturn]] void BeLast() {
  malloc_trim(0);
  const size_t resident = ResidentBytes();
  Say("%zu KiB resident in the last of %d generations", resident >> 10,
      kGenerations);
  if (resident > kMaxResident) Fail("that is too much memory");
  for (int i = 0; i < 64; ++i) {
    if (malloc(kLeftSize) == nullptr) Fail("no memory in the last generation");
  }
  _exit(0);
}

// One generation after the other, each the child of one whose threads are busy.
[[noreturn]] void Descend(int generation) {
  OperateOften(100);
  for (auto& blocks : left) {
    for (void*& block : blocks) {
      free(block);
      block = nullptr;
    }
  }
  FreeAll();
  if (generation == kGenerations) BeLast();
  pthread_t threads[kLeftBehind];
  int count = 0;
  have_allocated = 0;
  for (auto& blocks : left) {
    if (pthread_create(&threads[count], nullptr, BeLeftBehind, blocks) == 0) {
      ++count;
    } else if (!may_run_out) {
      Fail("pthread_create");
    }
  }
  while (have_allocated < count) sched_yield();
  const pid_t pid = fork();
  if (pid == 0) {
    BeginChild();
    Descend(generation + 1);
  }
  stop = true;
  while (count-- > 0) pthread_join(threads[count], nullptr);
  alarm(0);  // the child has its own
  Wait(kFork, false, pid);
  _exit(0);
}

void Run(uint64_t count) {
  ForbidHugePages();
  WatchProgress();
  Handle(kTimerSignal, SA_NODEFER, Act);
  limits.size = kMaxSize;
  Enlist();
  MakeTimer();
  first = me;
  pthread_t threads[kBusy];
  for (pthread_t& thread : threads) {
    if (pthread_create(&thread, nullptr, BeBusy, nullptr) != 0) {
      Fail("pthread_create");
    }
  }
  Random random(NewSeed());
  for (uint64_t i = 0; i < count; ++i) {
    for (int kind = 0; kind < kNumKinds; ++kind) {
      if (i % 2 == 0) {
        Start(static_cast<Kind>(kind), false);
        continue;
      }
      wanted = kind;
      while (wanted != kNumKinds) OperateInterrupted(&random);
    }
  }
  stop = true;
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  stop = false;
  const pid_t pid = fork();
  if (pid == 0) {
    BeginChild();
    Descend(0);
  }
  FreeAll();
  Discharge();
  Wait(kFork, false, pid);
  SayFigures("; %lu children", count * kNumKinds);
}

void BeSpawned() {
  alarm(kDeadlineSeconds);
  Enlist();
  OperateOften(200);
  FreeAll();
}

}  // namespace
}  // namespace storms

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], storms::kSpawned) == 0) {
    storms::BeSpawned();
  } else {
    storms::Run(storms::CountArgument(argc, argv, storms::kShortCount));
  }
}
