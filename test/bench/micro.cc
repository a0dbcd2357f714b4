// Runs one row in this process and prints one number.
//
//   micro --list               names of the rows
//   micro ROW SECONDS          nanoseconds per object, measured for so long
//   micro ROW --steps OBJECTS  instructions per object, of the allocator alone
//   micro ROW --objects N      how many objects it has done: N or some more
#include "micro.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>

#include "bench.h"
#include "stepping.h"

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
  long objects = std::max(1000.0, seconds * 1e6);
  double taken = Seconds(row, objects, &done);
  while (taken < seconds / 10) {  // This warms up, too.
    const double factor = seconds / 5 / std::max(taken, seconds / 500);
    objects = objects * std::min(std::max(factor, 2.0), 100.0);
    taken = Seconds(row, objects, &done);
  }
  taken = Seconds(row, done * (seconds / taken), &done);
  return taken * 1e9 / done;
}

volatile long steps;
volatile uintptr_t last_step;

// A string instruction counts once, not once for each of its elements.
void OnStep(int, siginfo_t*, void* context) {
  if (Next(context) == last_step) return;
  last_step = Next(context);
  if (InLibrary(context)) steps = steps + 1;
}

double Instructions(const Row& row, long objects) {
  if (row.taken != nullptr) Die("cannot step several threads");
  row.run(100000);
  OnEachStep(OnStep);
  SetTrapFlag();
  const long done = row.run(objects);
  ClearTrapFlag();
  return static_cast<double>(steps) / done;
}

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
  const Row* row = argc > 2 ? Find(argv[1]) : nullptr;
  const bool stepped = argc == 4 && strcmp(argv[2], "--steps") == 0;
  const bool counted = argc == 4 && strcmp(argv[2], "--objects") == 0;
  if (row == nullptr || (argc != 3 && !stepped && !counted)) {
    Die("usage: micro --list | ROW SECONDS | ROW --steps N | ROW --objects N");
  }
  Sizes::Fill();
  // Several threads have the blocks that a thread takes to start among theirs.
  if (auto* wrap =
          reinterpret_cast<void (*)()>(dlsym(RTLD_DEFAULT, "bench_bump_wrap"));
      wrap != nullptr && row->taken == nullptr) {
    wrap();
  }
  if (row->prepare != nullptr) row->prepare();
  if (stepped) {
    printf("%.2f\n", Instructions(*row, atol(argv[3])));
  } else if (counted) {
    printf("%ld\n", row->run(atol(argv[3])));
  } else {
    printf("%.3f\n", Nanoseconds(*row, atof(argv[2])));
  }
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) { return bench::Main(argc, argv); }
