#include "test/stepper/shared.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace stepper {

const char* const kModeNames[kNumModes] = {
    "record", "handler", "onstack", "longjmp", "park",  "kill", "fork",
    "nested", "crash",   "refused", "denied",  "acted", "half", "torn",
};

Shared* shared;
Trial trial;
int deadline_seconds = 30;

void Event::Set() {
  __atomic_store_n(&value_, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, &value_, FUTEX_WAKE, 1 << 30, nullptr, nullptr, 0);
}

void Event::Wait() {
  while (__atomic_load_n(&value_, __ATOMIC_SEQ_CST) == 0) {
    syscall(SYS_futex, &value_, FUTEX_WAIT, 0, nullptr, nullptr, 0);
  }
}

bool Event::WaitFor(int milliseconds) {
  const timespec timeout = {milliseconds / 1000,
                            milliseconds % 1000 * 1000000L};
  while (__atomic_load_n(&value_, __ATOMIC_SEQ_CST) == 0) {
    if (syscall(SYS_futex, &value_, FUTEX_WAIT, 0, &timeout, nullptr, 0) != 0 &&
        errno == ETIMEDOUT) {
      return value_ != 0;
    }
  }
  return true;
}

void Fail(const char* what, const void* where) {
  // snprintf of these conversions neither allocates nor locks in glibc.
  if (__atomic_exchange_n(&shared->failed, 1, __ATOMIC_SEQ_CST) == 0) {
    snprintf(shared->message, sizeof shared->message, "%s (%p)", what, where);
  }
  syscall(SYS_exit_group, 3);
  __builtin_trap();
}

}  // namespace stepper
