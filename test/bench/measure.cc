// Runs a command and says what it took, in a line of JSON.
//
//   measure FILE [NAME=VALUE]... COMMAND...
//
// A small program, because a process cannot have used less memory than the one
// that it was forked from, and because what is preloaded into the command is
// not to be preloaded into anything else.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace {

double Seconds(const timeval& time) { return time.tv_sec + time.tv_usec / 1e6; }

double Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

}  // namespace

int main(int argc, char** argv) {
  int command = 2;
  while (command < argc && strchr(argv[command], '=') != nullptr) ++command;
  if (command >= argc) return 2;
  const double begin = Now();
  const pid_t child = fork();
  if (child == 0) {
    for (int n = 2; n < command; ++n) putenv(argv[n]);
    execvp(argv[command], argv + command);
    fprintf(stderr, "measure: %s: %s\n", argv[command], strerror(errno));
    _exit(127);
  }
  int status;
  rusage usage;
  if (child < 0 || wait4(child, &status, 0, &usage) != child) return 2;
  const double wall = Now() - begin;
  FILE* file = fopen(argv[1], "we");
  if (file == nullptr) return 2;
  fprintf(file,
          "{\"wall\": %.6f, \"cpu\": %.6f, \"rss_kib\": %ld, "
          "\"minor_faults\": %ld, \"exit\": %d, \"signal\": %d}\n",
          wall, Seconds(usage.ru_utime) + Seconds(usage.ru_stime),
          usage.ru_maxrss, usage.ru_minflt,
          WIFEXITED(status) ? WEXITSTATUS(status) : 0,
          WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  return fclose(file) == 0 ? 0 : 2;
}
