// Two stages: a program starts itself again with the library preloaded.
#ifndef AOMALLOC_TEST_STEPPER_STAGE_H_
#define AOMALLOC_TEST_STEPPER_STAGE_H_

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

namespace stepper {

// Null in the first stage; in the second what was given as `env`.
const char* Stage();

// Runs this program with `library` preloaded ("none": as it is), and with the
// variables set that `env` stands for: "static", "mmap", or "profile" or
// "rations", which is mmap with a heap profile of everything or of nothing.
// True if it succeeds.
bool RunStage(const char* library, const char* env, char** argv);

// Shared memory for the processes forked from now on. Zero.
void* MapShared(size_t bytes);

// One write a message: several processes share stdout. stdio would allocate.
__attribute__((format(printf, 1, 2))) inline void Print(const char* format,
                                                        ...) {
  char text[2400];
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (write(STDOUT_FILENO, text, static_cast<size_t>(length)) < 0) abort();
}

}  // namespace stepper

#endif  // AOMALLOC_TEST_STEPPER_STAGE_H_
