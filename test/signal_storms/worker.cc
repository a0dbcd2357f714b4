#include "test/signal_storms/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace storms {
namespace {

constexpr int kStandstillSeconds = 60;
constexpr size_t kAlternateStack = size_t{128} << 10;
constexpr int kMaxLine = 500;

std::atomic<uint64_t> seeds{0};

// vsnprintf of integers, strings and pointers neither allocates nor locks.
void Write(int file, const char* format, va_list arguments) {
  char line[kMaxLine];
  int length =
      snprintf(line, sizeof(line), "%s: ", program_invocation_short_name);
  length +=
      vsnprintf(line + length, sizeof(line) - length - 1, format, arguments);
  if (length > kMaxLine - 1) length = kMaxLine - 1;
  line[length++] = '\n';
  if (write(file, line, length) != length) _exit(2);
}

int ThreadId() { return static_cast<int>(syscall(SYS_gettid)); }

void LookAtProgress(int) {
  static int tid[kMaxWorkers];
  static uint64_t operations[kMaxWorkers];
  for (int i = 0; i < kMaxWorkers; ++i) {
    const int tid_now = workers[i].tid;
    const uint64_t operations_now = workers[i].operations;
    if (tid_now != 0 && tid_now == tid[i] && operations_now == operations[i]) {
      Fail("a thread stands still (inside the allocator: %s, depth %d)",
           workers[i].inside != 0 ? "yes" : "no", workers[i].depth);
    }
    tid[i] = tid_now;
    operations[i] = operations_now;
  }
}

}  // namespace

Worker workers[kMaxWorkers];
thread_local Worker* me = nullptr;
const int kTimerSignal = SIGPROF;

void Fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  Write(STDERR_FILENO, format, arguments);
  _exit(1);
}

void Say(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  Write(STDOUT_FILENO, format, arguments);
  va_end(arguments);
}

uint64_t NewSeed() {
  // Mixed (splitmix64): the first numbers of a generator show how near to one
  // another seeds are.
  uint64_t seed = (seeds.fetch_add(1) << 20) + static_cast<uint64_t>(getpid());
  seed *= 0x9E3779B97F4A7C15u;
  seed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9u;
  seed = (seed ^ (seed >> 27)) * 0x94D049BB133111EBu;
  return seed ^ (seed >> 31);
}

void Enlist() {
  const int tid = ThreadId();
  for (Worker& worker : workers) {
    int nobody = 0;
    if (!worker.tid.compare_exchange_strong(nobody, tid)) continue;
    worker.inside = 0;
    worker.depth = 0;
    me = &worker;
    return;
  }
  Fail("too many threads");
}

void Discharge() {
  Worker* worker = me;
  if (worker->timer != timer_t{}) timer_delete(worker->timer);
  worker->timer = timer_t{};
  me = nullptr;
  worker->tid = 0;
  stack_t none{}, stack;
  none.ss_flags = SS_DISABLE;
  if (sigaltstack(&none, &stack) == 0 && (stack.ss_flags & SS_DISABLE) == 0) {
    munmap(stack.ss_sp, stack.ss_size);
  }
}

void StayAlone() {
  for (Worker& worker : workers) worker.tid = 0;
  me->tid = ThreadId();
  me->timer = timer_t{};
}

void MakeTimer() {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = kTimerSignal;
  event._sigev_un._tid = ThreadId();
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) Fail("timer_create");
  me->timer = timer;
}

void ArmTimer(Random* random, size_t nanoseconds) {
  itimerspec when{};
  when.it_value.tv_nsec = 1 + static_cast<long>(random->Below(nanoseconds));
  timer_settime(me->timer, 0, &when, nullptr);
}

void Handle(int signal, int flags, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags | SA_RESTART;
  if (sigaction(signal, &action, nullptr) != 0) Fail("sigaction");
}

void UseAlternateStack() {
  void* memory = mmap(nullptr, kAlternateStack, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Fail("mmap");
  stack_t stack{};
  stack.ss_sp = memory;
  stack.ss_size = kAlternateStack;
  if (sigaltstack(&stack, nullptr) != 0) Fail("sigaltstack");
}

void WatchProgress() {
  Handle(SIGALRM, 0, LookAtProgress);
  const itimerval each{{kStandstillSeconds, 0}, {kStandstillSeconds, 0}};
  setitimer(ITIMER_REAL, &each, nullptr);
}

uint64_t Sum(std::atomic<uint64_t> Worker::*count) {
  uint64_t sum = 0;
  for (const Worker& worker : workers) sum += worker.*count;
  return sum;
}

void SayFigures(const char* format, ...) {
  char rest[kMaxLine];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(rest, sizeof(rest), format, arguments);
  va_end(arguments);
  Say("%lu operations (%lu got no memory), %lu signals, %lu of them inside the "
      "allocator, %lu inside a handler's call of it%s",
      Sum(&Worker::operations), Sum(&Worker::refused), Sum(&Worker::signals),
      Sum(&Worker::nested), Sum(&Worker::deep), rest);
}

size_t ResidentBytes() {
  // Not statm, which may be off by what each processor has yet to report.
  const int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
  char text[4096];
  const ssize_t length = read(file, text, sizeof(text) - 1);
  close(file);
  if (length <= 0) Fail("cannot read smaps_rollup");
  text[length] = '\0';
  const char* line = strstr(text, "\nRss:");
  if (line == nullptr) Fail("no Rss in smaps_rollup");
  return strtoul(line + 5, nullptr, 10) << 10;
}

void ForbidHugePages() {
  if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) Fail("PR_SET_THP_DISABLE");
}

uint64_t CountArgument(int argc, char** argv, uint64_t otherwise) {
  return argc > 1 ? strtoul(argv[1], nullptr, 10) : otherwise;
}

}  // namespace storms
