// Test code in a child process: what it does to the heap, to limits and to
// signals ends with it.
#ifndef AOMALLOC_TEST_CHILD_H_
#define AOMALLOC_TEST_CHILD_H_

#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

namespace aomalloc {

// Runs `f` in a child process that `make` makes. What waitpid says of it: 0
// when `f` returned and no expectation failed.
template <typename F>
int StatusOfChild(F f, pid_t (*make)() = fork) {
  fflush(nullptr);  // What is in the buffers is to be written once.
  const pid_t child = make();
  if (child == 0) {
    f();
    // Not _exit, which would leave uncounted what ran here (scripts/coverage).
    exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

template <typename F>
void InChild(F f) {
  EXPECT_EQ(StatusOfChild(f), 0);
}

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_CHILD_H_
