// What malloc costs in a signal handler that interrupted malloc.
//
//   handler PAIRS  nanoseconds of a malloc and its free, where the handler does
//                  so many; the median over all instructions of malloc and free
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include <algorithm>
#include <vector>

#include "bench.h"
#include "stepping.h"

namespace bench {
namespace {

constexpr int kSweeps = 10;

int pairs;
int wanted;  // The step at which the handler does its work.
int step;
double taken;  // Negative if it did not.

double Monotonic() { return Now(CLOCK_MONOTONIC); }

void OnStep(int, siginfo_t*, void* context) {
  if (!InLibrary(context) || ++step != wanted) return;
  const double begin = Monotonic();
  for (int n = 0; n < pairs; ++n) {
    void* block = malloc(64);
    Touch(block);
    free(block);
  }
  taken = Monotonic() - begin;
}

// What reading the clock adds.
double ClockCost() {
  std::vector<double> costs;
  for (int n = 0; n < 1000; ++n) {
    const double begin = Monotonic();
    costs.push_back(Monotonic() - begin);
  }
  std::sort(costs.begin(), costs.end());
  return costs[costs.size() / 2];
}

int Main(int argc, char** argv) {
  pairs = argc == 2 ? atoi(argv[1]) : 0;
  if (pairs < 1) Die("usage: handler PAIRS");
  std::vector<double> samples;
  OnEachStep(OnStep);
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    wanted = 0;
    do {
      ++wanted;
      step = 0;
      taken = -1;
      SetTrapFlag();
      void* block = malloc(64);
      Touch(block);
      free(block);
      ClearTrapFlag();
      if (taken >= 0) samples.push_back(taken);
    } while (taken >= 0);
  }
  if (samples.empty()) Die("malloc was not interrupted");
  std::sort(samples.begin(), samples.end());
  printf("%.2f\n", (samples[samples.size() / 2] - ClockCost()) * 1e9 / pairs);
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) { return bench::Main(argc, argv); }
