// Runs one row in this process and prints one number.
//
//   micro --list              names of the rows
//   micro ROW SECONDS         nanoseconds per object, measured for so long
//   micro ROW --instructions  instructions per object, of the allocator alone
#include "micro.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>

#include "bench.h"

extern "C" char __executable_start, etext;  // By the linker.

namespace bench {

uint16_t Sizes::table_[Sizes::kCount];

void Sizes::Fill() {
  Random random(3);
  for (uint16_t& size : table_) size = random.Between(16, 1024);
}

namespace {

const Row* const kAllRows[] = {kPairRows, kLiveRows, kThreadRows};

const Row* Find(const char* name) {
  for (const Row* rows : kAllRows) {
    for (const Row* row = rows; row->name != nullptr; ++row) {
      if (strcmp(row->name, name) == 0) return row;
    }
  }
  return nullptr;
}

double Seconds(const Row& row, long objects, long* done) {
  const double begin = Now(CLOCK_PROCESS_CPUTIME_ID);
  *done = row.run(objects);
  const double used = Now(CLOCK_PROCESS_CPUTIME_ID) - begin;
  return row.taken != nullptr ? row.taken() : used;
}

double Nanoseconds(const Row& row, double seconds) {
  long done;
  long objects = 1000;
  double taken = Seconds(row, objects, &done);
  while (taken < seconds / 10) {  // This warms up, too.
    const double factor = seconds / 5 / std::max(taken, seconds / 500);
    objects = objects * std::min(std::max(factor, 2.0), 100.0);
    taken = Seconds(row, objects, &done);
  }
  taken = Seconds(row, done * (seconds / taken), &done);
  return taken * 1e9 / done;
}

#if defined(__x86_64__)

volatile long steps;
volatile uintptr_t last_step;

// After each instruction. A string instruction counts once, not once for each
// of its elements; what is in this program is not the allocator's.
void OnStep(int, siginfo_t*, void* context) {
  const uintptr_t next =
      static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  if (next == last_step) return;
  last_step = next;
  if (next < reinterpret_cast<uintptr_t>(&__executable_start) ||
      next >= reinterpret_cast<uintptr_t>(&etext)) {
    steps = steps + 1;
  }
}

// The red zone of the caller lies where pushf would write.
inline __attribute__((always_inline)) void SetTrapFlag() {
  __asm__ volatile(
      "sub $128, %%rsp; pushfq; orq $0x100, (%%rsp); popfq; add $128, %%rsp" ::
          : "memory", "cc");
}
inline __attribute__((always_inline)) void ClearTrapFlag() {
  __asm__ volatile(
      "sub $128, %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; add $128, "
      "%%rsp" ::
          : "memory", "cc");
}

double Instructions(const Row& row) {
  if (row.taken != nullptr) Die("cannot step several threads");
  row.run(100000);
  struct sigaction action {};
  action.sa_sigaction = OnStep;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, nullptr);
  SetTrapFlag();
  const long done = row.run(1000);
  ClearTrapFlag();
  return static_cast<double>(steps) / done;
}

#else
double Instructions(const Row&) { Die("no single step on this machine"); }
#endif

void List() {
  for (const Row* rows : kAllRows) {
    for (const Row* row = rows; row->name != nullptr; ++row) {
      printf("%s\n", row->name);
    }
  }
}

int Main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "--list") == 0) {
    List();
    return 0;
  }
  const Row* row = argc == 3 ? Find(argv[1]) : nullptr;
  if (row == nullptr) Die("usage: micro --list | ROW (SECONDS|--instructions)");
  Sizes::Fill();
  // Several threads have the blocks that a thread takes to start among theirs.
  if (auto* wrap =
          reinterpret_cast<void (*)()>(dlsym(RTLD_DEFAULT, "bench_bump_wrap"));
      wrap != nullptr && row->taken == nullptr) {
    wrap();
  }
  if (row->prepare != nullptr) row->prepare();
  if (strcmp(argv[2], "--instructions") == 0) {
    printf("%.2f\n", Instructions(*row));
  } else {
    printf("%.3f\n", Nanoseconds(*row, atof(argv[2])));
  }
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) { return bench::Main(argc, argv); }
