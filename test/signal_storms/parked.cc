// parked [ROUNDS]: in a fresh process a round, 1, 2, 8 or 32 threads stop for
// ever at a random instruction of the allocator, their first calls and their
// exit included; then others do all there is to do, or are dead by SIGALRM.
//
// The trap flag stops a thread after each instruction; how many there are
// between a thread's first call and its last is drawn at random. x86-64.
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "test/signal_storms/blocks.h"
#include "test/signal_storms/worker.h"

namespace storms {
namespace {

constexpr int kParkings[] = {1, 2, 8, 32};
constexpr int kOthers = 3;
constexpr uint64_t kShortRounds = 16;
constexpr unsigned kDeadlineSeconds = 60;
// Most threads stop soon, as stepping is slow.
constexpr size_t kSoon = 1024;
constexpr size_t kLate = 4096;

// Where the code of the allocator is.
uintptr_t code_begin;
uintptr_t code_end;

// What the rounds, which are processes, have in common.
struct Shared {
  std::atomic<uint64_t> operations{0};  // after the parking
  std::atomic<uint64_t> parked{0};
  std::atomic<uint64_t> parked_at_exit{0};
};
Shared* shared;

std::atomic<int> parked{0};
std::atomic<int> ended{0};  // before they had come so far
pthread_key_t exit_key;

// How many instructions of the allocator a thread has to go; 0: it is not to
// stop.
thread_local volatile size_t steps = 0;
thread_local bool is_exiting = false;

int FindCode(dl_phdr_info* info, size_t, void*) {
  const auto function = reinterpret_cast<uintptr_t>(&malloc);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    const uintptr_t begin = info->dlpi_addr + header.p_vaddr;
    if (header.p_type != PT_LOAD || function < begin ||
        function >= begin + header.p_memsz) {
      continue;
    }
    code_begin = begin;
    code_end = begin + header.p_memsz;
  }
  return 0;
}

void SetTrapFlag() {
  // The red zone lies where pushf would write.
  __asm__ volatile(
      "sub $128, %%rsp; pushfq; orq $0x100, (%%rsp); popfq; add $128, %%rsp" ::
          : "memory", "cc");
}

void ClearTrapFlag() {
  __asm__ volatile(
      "sub $128, %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; add $128, "
      "%%rsp" ::
          : "memory", "cc");
}

void Step(int, siginfo_t*, void* context) {
  const greg_t pc =
      static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  const auto at = static_cast<uintptr_t>(pc);
  if (at < code_begin || at >= code_end || --steps > 0) return;
  if (is_exiting) ++shared->parked_at_exit;
  ++shared->parked;
  ++parked;
  while (true) pause();
}

void BeforeCall(size_t size) {
  me->inside = size;
  if (steps > 0) SetTrapFlag();
}

void AfterCall() {
  if (steps > 0) ClearTrapFlag();
  me->inside = 0;
}

// Runs at the exit of a thread, after the allocator's own destructor.
void AtExit(void*) {
  ClearTrapFlag();
  ++ended;
}

// Some stop soon, some late; some are stopped from the first call on, some
// while they exit.
void* Park(void*) {
  Enlist();
  Random random(NewSeed());
  const size_t when = random.Below(4);
  const size_t number =
      1 +
      random.Below(random.Below(20) == 0 ? kLate : kSoon >> random.Below(8));
  pthread_setspecific(exit_key, me);
  if (when == 0) steps = number;
  for (size_t i = random.Below(100); i-- > 0;) Operate(&random);
  steps = number;
  if (when != 1) {
    while (true) Operate(&random);
  }
  is_exiting = true;
  SetTrapFlag();
  return nullptr;
}

void* OperateOften(void* count) {
  Enlist();
  Random random(NewSeed());
  for (size_t i = reinterpret_cast<size_t>(count); i-- > 0;) Operate(&random);
  Discharge();
  return nullptr;
}

// The number of threads started, fewer than wanted if there is no memory.
int Start(int wanted, pthread_t* threads, void* (*function)(void*)) {
  for (int i = 0; i < wanted; ++i) {
    if (pthread_create(&threads[i], nullptr, function,
                       reinterpret_cast<void*>(300)) == 0) {
      continue;
    }
    if (!may_run_out) Fail("pthread_create");
    return i;
  }
  return wanted;
}

void Wait(pid_t pid, const char* what, int number) {
  int status;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) Fail("fork");
  if (WIFSIGNALED(status)) {
    Fail("%s, %d threads parked: died of signal %d%s", what, number,
         WTERMSIG(status), WTERMSIG(status) == SIGALRM ? " (it hangs)" : "");
  }
  if (status != 0) Fail("%s, %d threads parked: see above", what, number);
}

// All that a program may want to do.
void CarryOn(int number) {
  pthread_t others[kOthers];
  const int count = Start(kOthers, others, OperateOften);
  Random random(NewSeed());
  for (int i = 0; i < 300; ++i) Operate(&random);
  malloc_trim(0);
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(kDeadlineSeconds / 2);
    StayAlone();
    for (int i = 0; i < 100; ++i) Operate(&random);
    FreeAll();
    _exit(0);
  }
  Wait(pid, "a child", number);
  for (int i = 0; i < count; ++i) pthread_join(others[i], nullptr);
  FreeAll();
}

[[noreturn]] void RunRound(int number) {
  alarm(kDeadlineSeconds);
  pthread_t threads[32];
  number = Start(number, threads, Park);
  while (parked + ended < number) sched_yield();
  Enlist();
  const uint64_t before = Sum(&Worker::operations);
  CarryOn(number);
  CarryOn(number);
  shared->operations += Sum(&Worker::operations) - before;
  _exit(0);
}

void Run(uint64_t rounds) {
  dl_iterate_phdr(FindCode, nullptr);
  shared =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (shared == MAP_FAILED) Fail("mmap");
  // The allocator's key first, so that its destructor is.
  free(malloc(1));
  if (pthread_key_create(&exit_key, AtExit) != 0) Fail("pthread_key_create");
  struct sigaction action {};
  action.sa_sigaction = Step;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, nullptr);
  hooks = {BeforeCall, AfterCall};
  for (uint64_t round = 0; round < rounds; ++round) {
    const int number = kParkings[round % 4];
    const pid_t pid = fork();
    if (pid == 0) RunRound(number);
    Wait(pid, "a round", number);
  }
  Say("%lu rounds, %lu threads parked (%lu of them at their exit), %lu "
      "operations done beside them",
      rounds, shared->parked.load(), shared->parked_at_exit.load(),
      shared->operations.load());
}

}  // namespace
}  // namespace storms

int main(int argc, char** argv) {
  storms::Run(storms::CountArgument(argc, argv, storms::kShortRounds));
}
