// Does one workload.
//
//   workload --list              names
//   workload NAME THREADS SHARE  does this share of the work, 1 being all of it
#include "workload.h"

#include <stdio.h>
#include <stdlib.h>

namespace bench {
namespace {

const Workload* const kAll[] = {kOwnWorkloads, kMixedWorkloads,
                                kSharedWorkloads, kThreadWorkloads};

int Main(int argc, char** argv) {
  const bool list = argc == 2 && strcmp(argv[1], "--list") == 0;
  if (!list && argc != 4) Die("usage: workload --list | NAME THREADS SHARE");
  for (const Workload* workload : kAll) {
    for (; workload->name != nullptr; ++workload) {
      if (list) {
        printf("%s\n", workload->name);
      } else if (strcmp(workload->name, argv[1]) == 0) {
        workload->run(atoi(argv[2]), workload->work * atof(argv[3]));
        return 0;
      }
    }
  }
  if (!list) Die("no such workload");
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) { return bench::Main(argc, argv); }
