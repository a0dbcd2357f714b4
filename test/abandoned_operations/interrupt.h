// Interrupts operations of the allocator at instructions of its own: a
// breakpoint is planted at one, and what happens there is what a signal that
// arrives there would do. x86-64.
//
// The instructions are those that operations went through under the trap flag.
// A breakpoint costs one signal where the trap flag costs one an instruction,
// some 20 microseconds on a virtual machine, so the deepest path is interrupted
// as cheaply as the first instruction.
#ifndef AOMALLOC_TEST_ABANDONED_OPERATIONS_INTERRUPT_H_
#define AOMALLOC_TEST_ABANDONED_OPERATIONS_INTERRUPT_H_

#include <stddef.h>
#include <stdint.h>

#include "test/abandoned_operations/common.h"

namespace abandon {

// Installs the handler; `flags` may be SA_ONSTACK. `on_hit` is called in it,
// in the thread that was interrupted, and need not return. The places learned
// are shared with child processes.
void HandleInterrupts(int flags, void (*on_hit)());

// Whether operations of this thread can be interrupted, or are learned from.
extern __thread volatile bool exposed
    __attribute__((tls_model("initial-exec")));
extern volatile bool learning;

// Where an operation can be interrupted: the number of an instruction.
using Place = int;
Place NumPlaces();
// One below `end`; half of the time one of the fast paths, which are known
// first.
Place ChoosePlace(Place end, Random* random);

// Plants the breakpoint, one in the process. The next exposed operation that
// gets there is interrupted; whoever gets there, the breakpoint is gone.
void Arm(Place place);
void Disarm();

// The trap flag.
inline __attribute__((always_inline)) void SetTrap() {
  // The red zone of the caller lies where pushf would write.
  __asm__ volatile(
      "sub $128, %%rsp; pushfq; orq $0x100, (%%rsp); popfq; add $128, %%rsp" ::
          : "memory", "cc");
}
inline __attribute__((always_inline)) void ClearTrap() {
  __asm__ volatile(
      "sub $128, %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; add $128, "
      "%%rsp" ::
          : "memory", "cc");
}

// Around one call of the allocator.
class Exposure {
 public:
  __attribute__((always_inline)) Exposure() {
    exposed = true;
    if (learning) SetTrap();
  }
  __attribute__((always_inline)) ~Exposure() {
    ClearTrap();
    exposed = false;
  }
  Exposure(const Exposure&) = delete;
  Exposure& operator=(const Exposure&) = delete;
};

template <typename F>
auto Exposed(F f) {
  const Exposure exposure;
  return f();
}

// The fast paths of malloc and free; to be learned before all else.
void LearnFastPaths();

// The number of instructions that a malloc and a free of a small block take,
// after as many other pairs.
int InstructionsOfPair(int others);

}  // namespace abandon

#endif  // AOMALLOC_TEST_ABANDONED_OPERATIONS_INTERRUPT_H_
