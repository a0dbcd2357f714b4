// The system that the cases run on, in place of core/base/os.cc and
// os_memory.cc: its memory, and which threads have ended.
//
// Each call is one step, which takes a lock of the kernel's and is ordered
// against the others. To map, to purge and to unmap write to the pages, so that
// who uses these at the same time has a race.
#ifndef AOMALLOC_TEST_WEAK_SYSTEM_H_
#define AOMALLOC_TEST_WEAK_SYSTEM_H_

#include <cstddef>
#include <cstdint>

namespace aomalloc::weak {

// What the kernel knows of. A case that uses these has one as a member, and
// calls Use in SetUp.
struct System {
  void Use();

  // The addresses that are mapped.
  struct Range {
    uintptr_t start, end;
  };
  Range ranges[16] = {};
  // What the stack of each thread looks like, for the profile.
  uintptr_t stacks[8] = {};
  size_t address_space = SIZE_MAX;
  // What the C library has of a key.
  int keys[2] = {};
};

}  // namespace aomalloc::weak

#endif  // AOMALLOC_TEST_WEAK_SYSTEM_H_
