// contexts [COUNT]: operations that are interrupted by a switch to another
// stack (makecontext), until COUNT have been, in each of two ways.
//
// guests     a handler switches to a stack of its own, works there, and comes
//            back to the interrupted operation; three deep
// scheduler  a timer's handler switches round-robin between four contexts, so
//            that operations of all of them are under way at once and end in
//            any order
//
// Either is done by two threads at the same time, whose contexts share their
// blocks. A scheduled context may leave a heap claimed for good when several
// switches meet in windows of two instructions (core/heap/claim.h); corruption
// is never allowed.
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "test/signal_storms/blocks.h"
#include "test/signal_storms/worker.h"

namespace storms {
namespace {

constexpr int kThreads = 2;
constexpr int kGuests = Handling::kMaxDepth;
constexpr int kContexts = 4;
constexpr uint64_t kShortCount = 1500;
constexpr size_t kStack = size_t{64} << 10;
constexpr size_t kMaxDelay = 50000;  // nanoseconds, until a timer goes off

std::atomic<uint64_t> switches{0};
std::atomic<uint64_t> interrupted{0};  // calls of the allocator
uint64_t goal;

bool IsDone() { return interrupted >= goal; }

// Has `context` run `function` on a stack of its own, with a guard below.
void MakeContext(ucontext_t* context, void (*function)()) {
  void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED || mprotect(stack, 4096, PROT_NONE) != 0) {
    Fail("mmap");
  }
  getcontext(context);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = kStack;
  context->uc_link = nullptr;
  makecontext(context, function, 0);
}

// `inside`: the call of the allocator that is interrupted by this, or 0.
void Switch(size_t inside, ucontext_t* from, ucontext_t* to) {
  ++switches;
  if (inside != 0) ++interrupted;
  if (swapcontext(from, to) != 0) Fail("swapcontext");
}

void OperateInterrupted(Random* random) {
  if (random->Below(8) == 0) ArmTimer(random, kMaxDelay);
  Operate(random);
}

// Runs `work` in threads of their own.
void InThreads(void (*handler)(int), int flags, void* (*work)(void*)) {
  Handle(kTimerSignal, flags, handler);
  pthread_t threads[kThreads];
  for (pthread_t& thread : threads) {
    if (pthread_create(&thread, nullptr, work, nullptr) != 0) {
      Fail("pthread_create");
    }
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
}

// --- Guests: one for each depth at which a handler can be.

struct Guest {
  ucontext_t host;
  ucontext_t self;
};
thread_local Guest guests[kGuests];

void BeGuest() {
  Guest* guest = &guests[me->depth - 1];
  Random random(NewSeed());
  while (true) {
    for (size_t i = 1 + random.Below(6); i-- > 0;) OperateInterrupted(&random);
    if (random.Below(4) == 0) TakeTwoKeepOne(&random, 1 + random.Below(500));
    Switch(0, &guest->self, &guest->host);
  }
}

void Visit(int) {
  Handling handling;
  if (!handling.MayAct() || handling.inside() == 0) return;
  Guest* guest = &guests[handling.depth()];
  Switch(handling.inside(), &guest->host, &guest->self);
}

void* Host(void*) {
  for (Guest& guest : guests) MakeContext(&guest.self, BeGuest);
  Enlist();
  MakeTimer();
  Random random(NewSeed());
  while (!IsDone()) OperateInterrupted(&random);
  Discharge();
  return nullptr;
}

// --- The scheduler.

struct Scheduler {
  ucontext_t contexts[kContexts];
  int current;
  int done;
};
thread_local Scheduler scheduler;

void Preempt(int) {
  Handling handling;
  if (!handling.MayAct()) return;
  ucontext_t* from = &scheduler.contexts[scheduler.current];
  scheduler.current = (scheduler.current + 1) % kContexts;
  Switch(handling.inside(), from, &scheduler.contexts[scheduler.current]);
}

void SetBlocked(int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kTimerSignal);
  pthread_sigmask(how, &set, nullptr);
}

// The signal is blocked when a context begins, as it is in the handler that
// switches to it.
void RunContext() {
  me->depth = 0;
  me->inside = 0;
  SetBlocked(SIG_UNBLOCK);
  Random random(NewSeed());
  while (!IsDone()) OperateInterrupted(&random);
  ++scheduler.done;
  while (scheduler.done < kContexts) raise(kTimerSignal);
}

void RunOther() {
  RunContext();
  // All are done, but it is the thread's own context that ends it.
  while (true) raise(kTimerSignal);
}

void* Schedule(void*) {
  Enlist();
  MakeTimer();
  SetBlocked(SIG_BLOCK);
  for (int i = 1; i < kContexts; ++i) {
    MakeContext(&scheduler.contexts[i], RunOther);
  }
  RunContext();
  SetBlocked(SIG_BLOCK);
  Discharge();
  return nullptr;
}

void Run(uint64_t count) {
  WatchProgress();
  goal = count;
  InThreads(Visit, SA_NODEFER, Host);
  const uint64_t to_guests = switches;
  goal = 2 * count;
  InThreads(Preempt, 0, Schedule);
  Enlist();
  FreeAll();
  Discharge();
  SayFigures("; %lu switches to guests and back, %lu of the scheduler",
             to_guests, switches - to_guests);
}

}  // namespace
}  // namespace storms

int main(int argc, char** argv) {
  storms::Run(storms::CountArgument(argc, argv, storms::kShortCount));
}
