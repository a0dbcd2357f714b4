// ways_out [COUNT]: other ways in which a handler that interrupted an operation
// may leave it, each COUNT times: exit, pthread_exit, cancellation, fork whose
// child jumps away, another stack that is come back from or not, and handlers
// within handlers that return in the end.
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "test/abandoned_operations/common.h"
#include "test/abandoned_operations/interrupt.h"
#include "test/abandoned_operations/workload.h"

namespace abandon {
namespace {

constexpr int kGood = 7;  // an exit status that nothing else has
constexpr int kAttempts = 24;
constexpr int kMaxLevel = 6;
constexpr long kMaxLostPerTime = 8192;

struct Figures {
  long resident;  // bytes lost
  long heap;
};
Figures* figures;  // shared by all processes

// Of this process.
long wanted;
volatile long times;
Random choices(1);
Workload workload(2);
sigjmp_buf environment;
void (*way)();  // what the handler does

void OnHit() { way(); }

// Operates until an operation is interrupted, and on if it is resumed.
void OperateInterrupted() {
  Watch(&times, "times");
  for (const long before = times; times == before;) {
    const Place place = ChoosePlace(NumPlaces(), &choices);
    for (int i = 0; i < kAttempts && times == before; ++i) {
      Arm(place);
      workload.Operate();
      Disarm();
    }
  }
}

// All is well after so many operations; some of them find what was abandoned.
void OperateOn() {
  for (int i = 0; i < 50; ++i) workload.Operate();
}

// --- exit. The functions that run then allocate too.

void AtExit() {
  OperateOn();
  workload.GiveAll();
}

void Exit() { exit(kGood); }

bool ExitOnce() {
  const pid_t child = fork();
  if (child == 0) {
    atexit(AtExit);
    way = Exit;
    OperateInterrupted();
  }
  int status;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == kGood;
}

void TryExit() {
  for (; times < wanted; ++times) {
    choices.Next();
    if (!ExitOnce()) Fail("exit in a handler, after %ld", times);
  }
}

// --- The end of the thread, which unwinds the operation's frames.

pthread_key_t end_key;

void AtThreadEnd(void*) { OperateOn(); }

void EndThread() {
  ++times;
  if (times % 2 == 0) pthread_exit(nullptr);
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
  pthread_cancel(pthread_self());
  Fail("a thread survived its cancellation");
}

void* RunThread(void*) {
  pthread_setspecific(end_key, &end_key);
  pthread_cleanup_push(AtThreadEnd, nullptr);
  OperateInterrupted();
  pthread_cleanup_pop(0);
  return nullptr;
}

void TryEndThread() {
  way = EndThread;
  while (times < wanted) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, RunThread, nullptr) != 0) {
      Fail("no thread");
    }
    pthread_join(thread, nullptr);
    OperateOn();
  }
}

// --- fork. The parent's operation goes on, the child's is left.

void Fork() {
  ++times;
  const pid_t child = fork();
  if (child == 0) siglongjmp(environment, 1);
  int status;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != kGood) {
    Fail("the child of a handler's fork, after %ld", times);
  }
}

void TryFork() {
  way = Fork;
  if (sigsetjmp(environment, 1) != 0) {
    OperateOn();
    workload.GiveAll();
    _exit(kGood);
  }
  while (times < wanted) OperateInterrupted();
}

// --- Another stack.

constexpr size_t kStackBytes = size_t{64} * 1024;
ucontext_t here, there;

void StartOn(void* memory, void (*function)()) {
  getcontext(&there);
  there.uc_stack.ss_sp = memory;
  there.uc_stack.ss_size = kStackBytes;
  there.uc_link = &here;
  makecontext(&there, function, 0);
  swapcontext(&here, &there);
}

void VisitOther() {
  static void* memory = MapShared(kStackBytes);
  ++times;
  StartOn(memory, OperateOn);
}

void TryVisit() {
  way = VisitOther;
  while (times < wanted) OperateInterrupted();
}

void LeaveForGood() {
  ++times;
  setcontext(&here);
}

void TryLeaveForGood() {
  way = LeaveForGood;
  while (times < wanted) {
    void* memory = MapShared(kStackBytes);
    StartOn(memory, OperateInterrupted);
    munmap(memory, kStackBytes);
    OperateOn();
  }
}

// --- Handlers within handlers.

int level;

void Nest() {
  if (++level == kMaxLevel) {
    ++times;
  } else {
    OperateInterrupted();
  }
  OperateOn();
  --level;
}

void TryNest() {
  way = Nest;
  while (times < wanted) OperateInterrupted();
}

// --- All of them.

void LearnPlaces() { Learn(&workload); }

struct Case {
  const char* name;
  void (*run)();
};

const Case kCases[] = {
    {"exit", TryExit},
    {"the thread's end", TryEndThread},
    {"fork", TryFork},
    {"a visit to another stack", TryVisit},
    {"another stack for good", TryLeaveForGood},
    {"handlers in handlers", TryNest},
};
const Case* current;

void Measure(long sign) {
  workload.GiveAll();
  malloc_trim(0);
  figures->resident += sign * static_cast<long>(ResidentBytes());
  figures->heap += sign * static_cast<long>(HeapBytes());
}

void Run() {
  Watch(&times, "times");
  HandleInterrupts(0, OnHit);
  free(malloc(1));  // the allocator's key comes first
  if (pthread_key_create(&end_key, AtThreadEnd) != 0) Fail("no key");
  const long count = wanted;
  wanted = count / 4;
  current->run();
  Measure(-1);
  wanted += count;
  current->run();
  Measure(1);
}

int Main(long count) {
  ForbidHugePages();
  figures = static_cast<Figures*>(MapShared(sizeof(Figures)));
  HandleInterrupts(0, OnHit);
  InChild(LearnPlaces);
  for (const Case& next : kCases) {
    *figures = Figures();
    wanted = count;
    current = &next;
    InChild(Run);
    const long resident = figures->resident / count;
    const long heap = figures->heap / count;
    Print("%s: %ld times, each lost %ld bytes of memory, %ld of the heap",
          next.name, count, resident, heap);
    if ((IsMapped() ? resident : heap) > kMaxLostPerTime) {
      Fail("too much is lost");
    }
  }
  return 0;
}

}  // namespace
}  // namespace abandon

int main(int argc, char** argv) {
  return abandon::Main(argc > 1 ? atol(argv[1]) : 200);
}
