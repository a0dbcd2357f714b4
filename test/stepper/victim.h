// The traced process of a trial: a thread that runs the operation under test,
// its handlers, and the peer, the first thread, which does what is to be done
// by somebody else and carries on when the other cannot.
#ifndef AOMALLOC_TEST_STEPPER_VICTIM_H_
#define AOMALLOC_TEST_STEPPER_VICTIM_H_

#include <stdint.h>

namespace stepper {

// Signals that the tracer injects.
extern const int kActSignal;      // does what the mode says
extern const int kNestedSignal;   // interrupts the handler of the former
extern const int kPreludeSignal;  // stops the operation of the prelude

// What a fault of kCrash is told to be about. Nobody gets there by mistake.
constexpr uintptr_t kCrashAddress = 0x57e0c000;

// Runs `trial` in this process, and ends it: with status 0 if all is well.
[[noreturn]] void RunTrial();

// Has the peer call `function`, and waits for it.
void OnPeer(void (*function)());

}  // namespace stepper

#endif  // AOMALLOC_TEST_STEPPER_VICTIM_H_
