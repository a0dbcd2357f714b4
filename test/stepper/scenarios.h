// The scenarios: in which state the heap is put, and the one operation that is
// then tried at every instruction.
#ifndef AOMALLOC_TEST_STEPPER_SCENARIOS_H_
#define AOMALLOC_TEST_STEPPER_SCENARIOS_H_

#include <stddef.h>

namespace stepper {

enum Flag : unsigned {
  // Environments that it runs in:
  kStatic = 1,  // the static heap
  kMapped = 2,  // mmap
  kBoth = 3,
  kProfile = 256,   // mmap and a heap profile: every allocation is a sample
  kRations = 512,   // the same, and none is
  kHuge = 2048,     // mmap, and huge pages are asked for
  kOnMain = 4,      // on the first thread, and no other is ever started
  kAtExit = 8,      // the operation is the end of the thread
  kInHandler = 16,  // in a handler that interrupted malloc
  kTakeOver = 32,   // after a handler abandoned malloc in mid-refill (with
                    // kInHandler: in a handler, on another stack)
  kRunsOut = 64,    // there is no memory left
  kOursOnly = 128,  // makes sense for libaomalloc.so alone
  // About a system call, and stepped only to make it fail: the path is another
  // one in each run, or leads through libc's locks.
  kForCalls = 1024,
};

struct Scenario {
  const char* name;
  unsigned flags;
  size_t focus;       // the size that is about
  void (*prepare)();  // once, in the process that the trials are forked from
  void (*setup)();    // on the thread under test, before each run
  void (*op)();       // the operation
  void (*finish)();   // on the thread under test, when the operation is done
  // Functions (parts of their mangled names) that the path must go through, and
  // may not: the proof that the setup has led where it should.
  const char* must[3];
  const char* must_not[3];
  // What one abandoned operation may cost, in bytes; 0 for one slab or unit.
  size_t loss;
};

extern const Scenario kScenarios[];
extern const size_t kNumScenarios;

// What this process runs in, one of the flags; and whether that is with mmap.
extern unsigned environment;
extern bool mapped;

// Looks up the functions that are not in every library; false if one is not
// there.
bool FindFunctions();

}  // namespace stepper

#endif  // AOMALLOC_TEST_STEPPER_SCENARIOS_H_
