#include "test/fuzz/threads.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>

#include "test/fuzz/model.h"
#include "test/step.h"

namespace fuzz {
namespace {

constexpr int kDeepest = 4;
constexpr size_t kStackBytes = size_t{512} << 10;

struct Worker {
  int index;
  pthread_t thread;
  pthread_t previous;  // that had this place, if there was one
  bool has_previous;
  bool ended;      // nobody takes the place again
  bool is_to_end;  // somebody does
  int depth;       // of handlers
  int skip;        // parts that are not interrupted
  int requested;   // instructions after which the next one is; 0: it is not
  int left;        // instructions until it is
  sigjmp_buf top;
};

Worker workers[2];
std::atomic<int> running;  // how many have not ended
std::atomic<int> turn;     // whose it is
void (*calls)();
__thread Worker* me;

Worker* Other() { return &workers[1 - me->index]; }

void Set(std::atomic<int>* word, int value) {
  word->store(value);
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 3);
}

void Await(std::atomic<int>* word, int value) {
  int seen;
  while ((seen = word->load()) != value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, nullptr);
  }
}

void* Body(void* argument);

void Start(Worker* worker) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  const int error = pthread_create(&worker->thread, &attributes, Body, worker);
  if (error != 0) Fail("pthread_create: %d", error);
  pthread_attr_destroy(&attributes);
}

void* Body(void* argument) {
  me = static_cast<Worker*>(argument);
  if (me->has_previous) pthread_join(me->previous, nullptr);
  Await(&turn, me->index);
  sigsetjmp(me->top, 0);
  me->depth = 0;
  me->requested = 0;
  me->is_to_end = false;
  calls();
  if (me->is_to_end) {
    me->previous = pthread_self();
    me->has_previous = true;
    Start(me);
    return nullptr;
  }
  me->ended = true;
  Set(&turn, Other()->index);
  Set(&running, running.load() - 1);
  return nullptr;
}

// Comes after each instruction while the trap flag is set.
void OnTrap(int, siginfo_t*, void* context) {
  if (--me->left > 0) return;
  // Not any more when the interrupted code goes on.
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~0x100L;
  if (me->depth == kDeepest) return;
  const int error = errno;
  ++me->depth;
  calls();
  --me->depth;
  errno = error;
}

}  // namespace

void RunThreads(void (*what)()) {
  struct sigaction action {};
  action.sa_sigaction = OnTrap;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGTRAP, &action, nullptr);
  calls = what;
  running = 2;
  workers[1].index = 1;
  for (Worker& worker : workers) Start(&worker);
  Await(&running, 0);
  for (Worker& worker : workers) pthread_join(worker.thread, nullptr);
}

void LetTheOtherGoOn() {
  if (Other()->ended) return;
  Set(&turn, Other()->index);
  Await(&turn, me->index);
}

void EndThread() { me->is_to_end = true; }

void InterruptAfter(int skip, int instructions) {
  me->skip = skip;
  me->requested = instructions;
}

void BeginInterruptible() {
  if (me == nullptr || me->requested == 0 || me->skip-- > 0) return;
  me->left = me->requested;
  me->requested = 0;
  aomalloc::Stepper::SetTrap();
}

void EndInterruptible() { aomalloc::Stepper::ClearTrap(); }

bool InHandler() { return me->depth > 0; }

void LeaveForGood() { siglongjmp(me->top, 1); }

}  // namespace fuzz
