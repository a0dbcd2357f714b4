// Runs code of this process instruction by instruction, by the trap flag, with
// a handler in between: what a signal at every instruction would see. x86-64.
#ifndef AOMALLOC_TEST_STEP_H_
#define AOMALLOC_TEST_STEP_H_

#include <setjmp.h>
#include <signal.h>

#include <functional>

namespace aomalloc {

class Stepper {
 public:
  // From one instruction to the next that a test tries. Unoptimised code has
  // ten times as many, for the same changes to memory.
#if defined(__OPTIMIZE__)
  static constexpr int kStride = 1;
#else
  static constexpr int kStride = 17;
#endif

  // Runs `f`; calls `between(n)` after each instruction, n from 1.
  template <typename F>
  static void Run(F f, std::function<void(int)> between) {
    Install(std::move(between));
    SetTrap();
    f();
    ClearTrap();
  }

  // Runs `f`, but leaves it for ever after `limit` instructions, as a handler
  // that calls siglongjmp would. False if `f` was done before.
  template <typename F>
  static bool Abandon(F f, int limit) {
    if (sigsetjmp(environment_, 1) != 0) return true;
    Install([limit](int n) {
      if (n == limit) siglongjmp(environment_, 1);
    });
    SetTrap();
    f();
    ClearTrap();
    return false;
  }

  // From now on, and after the caller's return, `between` is called as by Run,
  // until ClearTrap is called.
  static __attribute__((always_inline)) void Begin(
      std::function<void(int)> between) {
    Install(std::move(between));
    SetTrap();
  }

  // From here to there SIGTRAP comes after each instruction.
  static __attribute__((always_inline)) void SetTrap() {
    // The red zone of the caller lies where pushf would write.
    __asm__ volatile(
        "sub $128, %%rsp; pushfq; orq $0x100, (%%rsp); popfq; add $128, "
        "%%rsp" ::
            : "memory", "cc");
  }
  static __attribute__((always_inline)) void ClearTrap() {
    __asm__ volatile(
        "sub $128, %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; add $128, "
        "%%rsp" ::
            : "memory", "cc");
  }

 private:
  static void Install(std::function<void(int)> between) {
    between_ = std::move(between);
    count_ = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { between_(++count_); };
    sigaction(SIGTRAP, &action, nullptr);
  }

  inline static std::function<void(int)> between_;
  inline static int count_;
  inline static sigjmp_buf environment_;
};

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_STEP_H_
