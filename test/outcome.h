// What came of code that ran in a child process, and what it has said.
#ifndef AOMALLOC_TEST_OUTCOME_H_
#define AOMALLOC_TEST_OUTCOME_H_

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

struct Outcome {
  int status = 0;
  std::string errors;
};

template <typename F>
Outcome InChild(F f) {
  Outcome outcome;
  int pipe_ends[2];
  EXPECT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe_ends[1], 2);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    f();
    _exit(0);
  }
  close(pipe_ends[1]);
  char buffer[1000];
  ssize_t length;
  while ((length = read(pipe_ends[0], buffer, sizeof(buffer))) > 0) {
    outcome.errors.append(buffer, static_cast<size_t>(length));
  }
  close(pipe_ends[0]);
  waitpid(child, &outcome.status, 0);
  return outcome;
}

#endif  // AOMALLOC_TEST_OUTCOME_H_
