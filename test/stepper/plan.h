// Which boundaries of a path are tried, and with which errors a call fails. All
// of them take hours: the short form is about each distinct instruction at its
// 1st, 2nd, 4th, 8th ... 64th execution.
#ifndef AOMALLOC_TEST_STEPPER_PLAN_H_
#define AOMALLOC_TEST_STEPPER_PLAN_H_

#include <stddef.h>
#include <stdint.h>

#include "test/stepper/shared.h"

namespace stepper {

struct Plan {
  // Every execution of every instruction, and of every call each error.
  bool full = false;
  // Of long paths each so many-th boundary, another part of them in each
  // scenario and mode.
  int stride = 1;
  // Beside these, instructions of the library that no scenario has tried before
  // in the same mode, in any environment: all of them if it is 1, one in so
  // many if it is more, others in the next mode; none if it is 0.
  int each = 0;
};
extern Plan plan;

// What is tried in one stage (stage.h) is known to the next: SharePlan is
// called before them, and JoinPlan in each, before it forks the runners.
void SharePlan();
void JoinPlan();

// How often a path has come to each of its instructions. It is big: in memory
// that is shared, as the runner would copy what it writes after each fork.
class Visits {
 public:
  void Clear();

  // The number of this visit, from 1.
  unsigned Add(uintptr_t pc);

 private:
  static constexpr size_t kSlots = size_t{1} << 16;
  struct {
    uintptr_t pc;
    unsigned count;
  } seen_[kSlots];
};

// Whether the short form is about this execution; with plan.full, true. Of
// calls it is also about the first few: wherever the library asks the kernel
// for the same, it does so by the same instruction.
bool IsOfPlan(unsigned visit);
bool IsCallOfPlan(unsigned visit);

// Whether the `number`-th of `count` boundaries is one of the part that is
// tried: on a short path each is.
bool IsOfPart(size_t number, size_t count, size_t scenario, Mode mode);

// Whether --each wants the instruction at `pc` to be tried now, which is noted.
bool IsDue(uintptr_t pc, Mode mode);

// With how many errors, of `errors` that are possible, a call of the library at
// `pc` fails: with each at its first execution in the scenario that comes to it
// first, with two at that in others, and with one at later executions.
size_t CountErrors(uintptr_t pc, Mode mode, unsigned visit, size_t errors);

}  // namespace stepper

#endif  // AOMALLOC_TEST_STEPPER_PLAN_H_
