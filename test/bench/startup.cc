// Starts a program that does nothing so many times: what an allocator takes to
// be loaded and set up.
//
//   startup COUNT
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

int main(int argc, char** argv) {
  const int count = argc == 2 ? atoi(argv[1]) : 0;
  if (count < 1) bench::Die("usage: startup COUNT");
  char program[] = "/bin/true";
  char* command[] = {program, nullptr};
  for (int n = 0; n < count; ++n) {
    pid_t child;
    int status;
    if (posix_spawn(&child, program, nullptr, nullptr, command, environ) != 0 ||
        waitpid(child, &status, 0) != child || status != 0) {
      bench::Die("/bin/true failed");
    }
  }
  return 0;
}
