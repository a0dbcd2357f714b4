// System calls of the library that are made to fail: which of them, in which
// ways, and how the call of a stopped thread is changed to that end.
//
//   refused  it says no and has done nothing
//   denied   so, and all later ones of its number in the operation too
//   acted    it says no, but has done what it was asked for
//   half     it says no, but has done it to the first part of the range
//   torn     it says no, but has unmapped the place that was to be mapped anew
//
// With every one of kErrors, whatever the kernel of today would say (but see
// CanFailWith), in the scenario that comes to the call first, and with some of
// them in others (plan.h).
#ifndef AOMALLOC_TEST_STEPPER_CALLS_H_
#define AOMALLOC_TEST_STEPPER_CALLS_H_

#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#include "test/stepper/shared.h"

namespace stepper {

struct Error {
  const char* name;
  int number;
};
constexpr size_t kNumErrors = 6;
extern const Error kErrors[kNumErrors];

// A system call on the path of an operation.
struct Call {
  uintptr_t pc;
  long number;
  unsigned long arguments[6];
};

// The call that a thread is about to make, or has just asked for.
Call CallIn(const user_regs_struct& registers);

// "mprotect"; null if the call is none of those whose failures are known.
const char* NameOf(const Call& call);

// Whether the instruction at `pc` is a system call.
bool IsSystemCall(uintptr_t pc);

// Whether the mode is one in which a call fails; and whether it makes sense of
// this call.
bool IsFailing(Mode mode);
bool CanFail(const Call& call, Mode mode);

// Whether it can fail so with this error. Not with one that it tells the truth
// by.
bool CanFailWith(const Call& call, Mode mode, int error);

// Whether it asks if somebody is still at work on a heap; or if a thread is
// there, or who the caller is: then it is about whose a heap is.
bool AsksForClaimant(const Call& call);
bool AsksForOwner(long number);

// What is called instead of what was asked for, one after the other.
struct Instead {
  size_t count;  // 0: nothing
  Call calls[2];
};
Instead InsteadOf(const Call& call, Mode mode);

// Writes number and arguments to the registers of a thread that has just asked
// for a call. A number of -1 is no call.
void Ask(const Call& call, user_regs_struct* registers);

}  // namespace stepper

#endif  // AOMALLOC_TEST_STEPPER_CALLS_H_
