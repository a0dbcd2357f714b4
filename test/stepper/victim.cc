#include "test/stepper/victim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test/stepper/book.h"
#include "test/stepper/calls.h"
#include "test/stepper/scenarios.h"
#include "test/stepper/shared.h"

namespace stepper {

const int kActSignal = SIGUSR1;
const int kNestedSignal = SIGUSR2;
const int kPreludeSignal = SIGHUP;

namespace {

// What a frame of these handlers takes beside the kernel's part of it.
constexpr size_t kHandlerStack = size_t{6} * 1024;

void (*function_to_call)();
Event called;

sigjmp_buf abandoned;
sigjmp_buf prelude_abandoned;
pthread_key_t exit_key;
size_t settled_bytes;
__thread bool is_under_test;

void Ask(Request what) {
  shared->request = what;
  shared->requested.Set();
}

size_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.arena + info.hblkhd;
}

// --- What handlers do.

void WaitForChild(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) Fail("waitpid");
  }
  if (WIFSIGNALED(status)) {
    Fail(WTERMSIG(status) == SIGALRM ? "the fork child does not get on"
                                     : "the fork child crashed",
         reinterpret_cast<void*>(static_cast<uintptr_t>(WTERMSIG(status))));
  }
  if (WEXITSTATUS(status) != 0) Fail("the fork child failed");
}

void Fork(size_t focus) {
  // Raw clone runs none of libc's preparations; a thread cannot be created in
  // such a child, as libc's own state is that of the parent.
  const int way = trial.variant % 3;
  const bool raw = way == 1;
  const pid_t child =
      raw ? static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))
          : (way == 0 ? fork() : _Fork());
  if (child < 0) Fail("fork");
  if (child > 0) return WaitForChild(child);
  alarm(static_cast<unsigned>(deadline_seconds));
  Exercise(focus);
  Exchange(2);
  if (trial.variant % 3 == 0) ExerciseInThread(focus);
  const pid_t grandchild = raw ? _Fork() : fork();
  if (grandchild == 0) {
    alarm(static_cast<unsigned>(deadline_seconds));
    Exercise(focus);
    CheckAll();
    GiveAll();
    _exit(0);
  }
  WaitForChild(grandchild);
  CheckAll();
  if (trial.is_ours && trial.variant % 3 == 0) CheckThatThreadsDoNotShare();
  GiveAll();
  _exit(0);
}

void Act(int) {
  const int saved_errno = errno;
  const size_t focus = trial.scenario->focus;
  switch (trial.mode) {
    case Mode::kNested: {
      Pass(kNestedBegin);
      void* ptr = malloc(focus);
      Pass(kNestedEnd);
      Enter(ptr, focus);
      Exercise(focus);
      break;
    }
    case Mode::kLongjmp:
      Give(Take(focus));
      siglongjmp(abandoned, 1);
    case Mode::kKill:
      Give(Take(focus));
      syscall(SYS_exit, 0);
      break;
    case Mode::kFork:
      Fork(focus);
      break;
    case Mode::kOnStack:
      // Alone: whatever else is allocated would disturb the trap.
      SetTrap(focus, Trap::kHeadReturns);
      break;
    default:
      if (trial.is_ours) malloc_stats();  // before anything is put right
      Exercise(focus);
      SetTrap(focus, Trap::kHeadIsGone);
  }
  errno = saved_errno;
}

void ActNested(int) {
  const int saved_errno = errno;
  Exercise(trial.scenario->focus);
  SetTrap(trial.scenario->focus, Trap::kHeadIsGone);
  errno = saved_errno;
}

// --- What a crash leads to.

bool was_passed_on;  // by the library, to PassedOn

// The library has written one report to where stderr leads, and all of it.
void CheckReport() {
  static char report[1 << 16];
  const ssize_t length = pread(2, report, sizeof report - 1, 0);
  if (length <= 0) Fail("there is no report");
  const char* head = "aomalloc: the heap of process ";
  const char* body = strstr(report, "), at SIGSEGV\n");
  if (strstr(report, head) == nullptr || body == nullptr ||
      strstr(body, "\nslabs, by the size") == nullptr ||
      report[length - 1] != '\n' || strstr(body, head) != nullptr) {
    Fail("the report is not one whole report");
  }
}

// A handler of the program that is older than the library's.
void PassedOn(int signal, siginfo_t* info, void*) {
  if (info->si_code != SEGV_MAPERR || was_passed_on ||
      info->si_addr != reinterpret_cast<void*>(kCrashAddress)) {
    // Another fault, which comes again.
    ::signal(signal, SIG_DFL);
    return;
  }
  was_passed_on = true;
  const int saved_errno = errno;
  CheckReport();
  Exercise(trial.scenario->focus);
  SetTrap(trial.scenario->focus, Trap::kHeadIsGone);
  errno = saved_errno;
}

// The loader asks this where BeforeAll is. Nothing else of a program runs
// before the library's constructor.
extern "C" void (*InstallOldest())() {
  struct sigaction action {};
  action.sa_sigaction = PassedOn;
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
  return [] {};
}
extern "C" void BeforeAll() __attribute__((ifunc("InstallOldest")));

// Has the library write where CheckReport reads: to a file of this process. It
// writes to stderr as it found it, if there is another descriptor of that.
void KeepReport() {
  close_range(STDERR_FILENO, ~0U, 0);
  if (memfd_create("report", 0) != STDERR_FILENO) Fail("memfd_create");
  BeforeAll();
}

// --- The thread under test.

// Not inlined: what the caller keeps in registers survives the siglongjmp.
__attribute__((noinline)) void RunOperation(const Scenario& scenario) {
  if (sigsetjmp(abandoned, 1) != 0) return;
  // Null is an answer when a call fails, and may be no longer afterwards.
  const bool may_run_out_after = may_run_out;
  may_run_out |= IsFailing(trial.mode);
  Pass(kBegin);
  scenario.op();
  Pass(kEnd);
  if (scenario.finish != nullptr) scenario.finish();
  may_run_out = may_run_out_after;
}

// Runs the operation as often as the trial wants it. What is left of a run is
// freed before the next, so the heap should not grow.
void RunOperations() {
  const Scenario& scenario = *trial.scenario;
  for (int i = 0; i < trial.iterations; ++i) {
    if (i > 0) GiveAll();
    if (i == trial.settled) settled_bytes = HeapBytes();
    if (scenario.setup != nullptr) scenario.setup();
    RunOperation(scenario);
    CheckAll();
  }
  if (trial.iterations > trial.settled) {
    GiveAll();
    shared->growth = static_cast<long>(HeapBytes() - settled_bytes);
  }
}

bool prelude_is_abandoned;

void AtPrelude(int) {
  if ((trial.scenario->flags & kTakeOver) != 0 && !prelude_is_abandoned) {
    prelude_is_abandoned = true;
    siglongjmp(prelude_abandoned, 1);
  }
  RunOperations();
}

// Overwrites the dead frames below.
__attribute__((noinline)) void ScrubStack() {
  volatile char scrub[8192];
  for (volatile char& byte : scrub) byte = 0;
}

void RunPrelude() {
  // The thread has a heap, and it is this that is claimed. There is a block on
  // the list.
  constexpr size_t kBytes = 64;
  Take(kBytes);
  free(malloc(kBytes));
  const bool take_over = (trial.scenario->flags & kTakeOver) != 0;
  if (sigsetjmp(prelude_abandoned, 1) == 0) {
    Pass(kPrelude);
    // Stopped in a refill, or just after it has claimed the heap.
    void* ptr = malloc(take_over ? trial.scenario->focus : kBytes);
    Pass(kEnd);
    Enter(ptr, kBytes);
  }
  if (take_over) {
    ScrubStack();
    if ((trial.scenario->flags & kInHandler) != 0) {
      raise(kPreludeSignal);
    } else {
      RunOperations();
    }
  }
}

// Other destructors still allocate after the allocator's own has run.
void AtThreadExit(void*) {
  // glibc leaves a killed thread's keys to the next on its stack.
  if (!is_under_test) return;
  Pass(kEnd);
  CheckAll();
  // The heap has been given up and may serve another thread now, but not both.
  if (trial.is_ours) CheckThatThreadsDoNotShare();
  Churn(50, trial.scenario->focus);
  Ask(kFinished);
}

// The alternate stack: small, with a guard below.
void UseAlternateStack() {
  // A path that looks at the stack is recorded on the stack that is tried.
  const bool records_on_stack =
      trial.mode == Mode::kRecord && trial.variant == 1;
  if (trial.mode == Mode::kOnStack || records_on_stack) return;
  size_t size = static_cast<size_t>(sysconf(_SC_MINSIGSTKSZ)) + kHandlerStack;
  // For fork and pthread_create.
  if (trial.mode == Mode::kFork) size += size_t{256} * 1024;
  // One frame within the other.
  if (trial.mode == Mode::kNested) size *= 2;
  if ((trial.scenario->flags & (kInHandler | kTakeOver)) != 0) size *= 2;
  size = (size + 4095) / 4096 * 4096;
  char* memory =
      static_cast<char*>(mmap(nullptr, 4096 + size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(memory, 4096, PROT_NONE);
  stack_t stack{};
  stack.ss_sp = memory + 4096;
  stack.ss_size = size;
  if (sigaltstack(&stack, nullptr) != 0) Fail("sigaltstack");
}

// Has the tracer asked for the time in place of the kernel. Nobody is asked for
// those who inherit the filter and are not traced: their calls fail.
void AskTracerForTime() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_MONOTONIC_COARSE, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof filter / sizeof filter[0], filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    Fail("seccomp");
  }
}

void* ThreadUnderTest(void*) {
  is_under_test = true;
  UseAlternateStack();
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) Fail("PTRACE_TRACEME");
  Pass(kTraced);
  AskTracerForTime();
  const unsigned flags = trial.scenario->flags;
  if ((flags & kAtExit) != 0) {
    trial.scenario->setup();
    pthread_setspecific(exit_key, &exit_key);
    Pass(kBegin);
    return nullptr;
  }
  if ((flags & (kInHandler | kTakeOver)) != 0) {
    RunPrelude();
  } else {
    RunOperations();
  }
  CheckAll();
  if (IsFailing(trial.mode)) UseAllSizes(trial.variant);
  Churn(120, trial.scenario->focus);
  CheckAll();
  if ((flags & kOnMain) == 0) Ask(kFinished);
  return nullptr;
}

// --- The peer.

// All that a program may want while one of its threads is stopped.
void CarryOn() {
  Exercise(trial.scenario->focus);
  Exchange(2);  // blocks of the stopped thread among them
  ExerciseInThread(trial.scenario->focus);
  malloc_trim(0);
  Churn(50, trial.scenario->focus);
  ExerciseInThread(trial.scenario->focus);
  SetTrap(trial.scenario->focus,
          trial.variant % 2 == 0 ? Trap::kHeadIsGone : Trap::kHeadReturns);
  CheckAll();
}

void Serve() {
  while (true) {
    shared->requested.Wait();
    shared->requested.Clear();
    switch (shared->request) {
      case kCall:
        function_to_call();
        called.Set();
        break;
      case kDoWithout:
        CarryOn();
        shared->peer_done.Set();
        if (trial.mode == Mode::kKill) return;
        break;
      default:
        return;
    }
  }
}

void Handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_NODEFER | SA_ONSTACK;
  sigaction(signal, &action, nullptr);
}

}  // namespace

void OnPeer(void (*function)()) {
  function_to_call = function;
  called.Clear();
  Ask(kCall);
  called.Wait();
}

void RunTrial() {
  // The runner is who traces; nothing is left behind if it is killed.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Handle(kActSignal, Act);
  Handle(kNestedSignal, ActNested);
  Handle(kPreludeSignal, AtPrelude);
  if (trial.mode == Mode::kCrash) {
    KeepReport();
  } else {
    // Nobody reads the reports.
    dup2(open("/dev/null", O_WRONLY), 2);
  }
  may_run_out = (trial.scenario->flags & kRunsOut) != 0;
  if (trial.is_stocked) Stock();
  if ((trial.scenario->flags & kOnMain) != 0) {
    ThreadUnderTest(nullptr);
  } else {
    // Ours comes after the allocator's, so its destructor runs after that.
    free(malloc(1));
    if (pthread_key_create(&exit_key, AtThreadExit) != 0) Fail("key");
    pthread_t thread;
    if (pthread_create(&thread, nullptr, ThreadUnderTest, nullptr) != 0) {
      Fail("pthread_create");
    }
    Serve();
    pthread_join(thread, nullptr);
  }
  CheckAll();
  if (trial.mode == Mode::kCrash && !was_passed_on) {
    Fail("the fault did not come to the older handler");
  }
  Churn(50, trial.scenario->focus);
  // A new thread that gets the stack of the one that was killed has the same
  // thread-local addresses.
  if (trial.is_ours && (trial.mode == Mode::kKill ||
                        (IsFailing(trial.mode) && AsksForOwner(trial.call)))) {
    CheckThatThreadsDoNotShare();
  }
  ExerciseInThread(trial.scenario->focus);
  GiveAll();
  _exit(0);
}

}  // namespace stepper
