// The scenarios: in which state the heap is put, and the one operation that is
// then tried at every instruction.
#ifndef AOMALLOC_TEST_STEPPER_SCENARIOS_H_
#define AOMALLOC_TEST_STEPPER_SCENARIOS_H_

#include <stddef.h>

namespace stepper {

enum Flag : unsigned {
  kStatic = 1,      // runs with the static heap
  kMapped = 2,      // runs with mmap
  kBoth = 3,
  kOnMain = 4,      // on the first thread, and no other is ever started
  kAtExit = 8,      // the operation is the end of the thread
  kInHandler = 16,  // in a handler that interrupted malloc
  kTakeOver = 32,   // after a handler abandoned malloc in the middle of a refill
  kRunsOut = 64,    // there is no memory left
  kOursOnly = 128,  // makes sense for libaomalloc.so alone
};

struct Scenario {
  const char* name;
  unsigned flags;
  size_t focus;        // the size that is about
  void (*prepare)();   // once, in the process that the trials are forked from
  void (*setup)();     // on the thread under test, before each run
  void (*op)();        // the operation
  void (*finish)();    // on the thread under test, when the operation is done
  // Functions (parts of their mangled names) that the path must go through, and
  // may not: the proof that the setup has led where it should.
  const char* must[3];
  const char* must_not[3];
  // What one abandoned operation may cost, in bytes; 0 for one slab or unit.
  size_t loss;
};

extern const Scenario kScenarios[];
extern const size_t kNumScenarios;

// Whether this process runs with mmap.
extern bool mapped;

// Looks up the functions that are not in every library. False if one is missing.
bool FindFunctions();

}  // namespace stepper

#endif  // AOMALLOC_TEST_STEPPER_SCENARIOS_H_
