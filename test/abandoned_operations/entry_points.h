// The entry points of the allocator, each on its different paths.
#ifndef AOMALLOC_TEST_ABANDONED_OPERATIONS_ENTRY_POINTS_H_
#define AOMALLOC_TEST_ABANDONED_OPERATIONS_ENTRY_POINTS_H_

#include <stddef.h>

namespace abandon {

enum Entry {
  kMalloc,
  kFree,
  kCalloc,
  kRealloc,
  kAlignedAlloc,
  kPosixMemalign,
  kUsableSize,
  kTrim,
  kMallinfo,
  kAoMalloc,
  kAoFree,
  kNew,
  kDelete,
  kNumEntries
};
extern const char* const kEntryNames[kNumEntries];

struct Case {
  Entry entry;
  void (*prepare)();    // in a process that has not allocated
  void (*operation)();  // at most once
  bool in_new_thread = false;
};
extern const Case kCases[];
extern const size_t kNumCases;

// Operations that may be repeated in any state of the heap.
extern const Case kAnyTime[];
extern const size_t kNumAnyTime;

void RunInThread(void* (*function)(void*));

}  // namespace abandon

#endif  // AOMALLOC_TEST_ABANDONED_OPERATIONS_ENTRY_POINTS_H_
