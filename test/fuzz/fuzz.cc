// A coverage-guided fuzzer of sequences of calls (libFuzzer). scripts/fuzz
// builds and runs it; script.h says what an input means.
//
// Each input has a process of its own, in which the library is as new: so what
// fails once fails again. The child hands over what it covered.
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

#include "test/fuzz/script.h"

// How often each edge of the library ran: one byte each, which the compiler
// lays out and libFuzzer reads.
extern uint8_t __start___sancov_cntrs[] __attribute__((visibility("hidden")));
extern uint8_t __stop___sancov_cntrs[] __attribute__((visibility("hidden")));

namespace {

// Long: on a busy machine a child may have to wait. Only what hangs gets there.
constexpr unsigned kMaxSeconds = 60;

size_t NumCounters() {
  return static_cast<size_t>(__stop___sancov_cntrs - __start___sancov_cntrs);
}

[[noreturn]] void RunChild(const uint8_t* data, size_t size, uint8_t* covered) {
  for (const int signal : {SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGSEGV}) {
    ::signal(signal, SIG_DFL);  // libFuzzer's handlers are for its own process
  }
  alarm(kMaxSeconds);
  memset(__start___sancov_cntrs, 0, NumCounters());
  fuzz::Run(data, size);
  memcpy(covered, __start___sancov_cntrs, NumCounters());
  _exit(0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* covered =
      static_cast<uint8_t*>(mmap(nullptr, NumCounters(), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const pid_t child = fork();
  if (child == 0) RunChild(data, size, covered);
  int status = -1;
  waitpid(child, &status, 0);
  if (status != 0) {
    if (WIFSIGNALED(status)) {
      fprintf(stderr, "fuzz: killed by %s\n", strsignal(WTERMSIG(status)));
    }
    abort();
  }
  memcpy(__start___sancov_cntrs, covered, NumCounters());
  return 0;
}
