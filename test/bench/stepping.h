// Single steps by the trap flag: a signal after each instruction. It works
// where performance counters do not.
#ifndef AOMALLOC_TEST_BENCH_STEPPING_H_
#define AOMALLOC_TEST_BENCH_STEPPING_H_

#include <signal.h>
#include <ucontext.h>

#include <cstdint>

#include "bench.h"

extern "C" char __executable_start, etext;  // By the linker.

namespace bench {

using StepHandler = void (*)(int, siginfo_t*, void*);

inline void OnEachStep(StepHandler handler) {
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, nullptr);
}

#if defined(__x86_64__)

// The instruction that comes next.
inline uintptr_t Next(void* context) {
  return static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
}

// Where the flag is set there must be no red zone: pushf would write to it.
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

#else
inline uintptr_t Next(void*) { return 0; }
inline void SetTrapFlag() { Die("no single steps on this machine"); }
inline void ClearTrapFlag() {}
#endif

// Whether that is not in this program: in the allocator, or in what it calls.
inline bool InLibrary(void* context) {
  return Next(context) < reinterpret_cast<uintptr_t>(&__executable_start) ||
         Next(context) >= reinterpret_cast<uintptr_t>(&etext);
}

}  // namespace bench

#endif  // AOMALLOC_TEST_BENCH_STEPPING_H_
