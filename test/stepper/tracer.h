// One traced process: a trial, run up to the boundary that is tried.
#ifndef AOMALLOC_TEST_STEPPER_TRACER_H_
#define AOMALLOC_TEST_STEPPER_TRACER_H_

#include <stddef.h>
#include <stdint.h>

#include "test/stepper/calls.h"
#include "test/stepper/shared.h"

namespace stepper {

// Between two instructions of the operation: before the one at `pc` is executed
// for the `visit`-th time, which is after `step` instructions.
struct Boundary {
  uintptr_t pc;
  unsigned visit;
  unsigned step;
};

// The instructions outside this program that an operation executes, in order,
// and the system calls of the library among them.
struct Path {
  static constexpr size_t kCapacity = size_t{1} << 20;
  static constexpr size_t kMaxCalls = 1000;
  uintptr_t* pcs;
  size_t length;
  Call calls[kMaxCalls];
  size_t num_calls;
  uintptr_t entry_sp;  // the stack pointer at the first of them
  uintptr_t lowest_sp;
};

struct Outcome {
  bool reached = false;  // the boundary was passed
  bool ok = false;
  size_t nested_length = 0;  // instructions of the handler's malloc, if counted
  bool nested_reached = false;
  long growth = 0;
  uintptr_t crash_pc = 0;
  uintptr_t crash_caller = 0;  // of a function without a frame
  char message[256] = {};
};

// Runs `what` in a process of its own, and returns when it has ended. With
// kRecord the path is recorded in `path`. `nested_step`: after how many
// instructions the handler's malloc is interrupted.
Outcome Run(const Trial& what, const Boundary& boundary, size_t nested_step,
            Path* path);

}  // namespace stepper

#endif  // AOMALLOC_TEST_STEPPER_TRACER_H_
