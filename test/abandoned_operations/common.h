// What the programs here share. They run on the allocator and ask nothing of it
// but the operations they are about: no stdio, no C++ runtime.
#ifndef AOMALLOC_TEST_ABANDONED_OPERATIONS_COMMON_H_
#define AOMALLOC_TEST_ABANDONED_OPERATIONS_COMMON_H_

#include <stddef.h>
#include <stdint.h>

#include "test/random.h"

namespace abandon {

// One line on stdout, in one write.
void Print(const char* format, ...) __attribute__((format(printf, 1, 2)));

// One line that begins with FAILED, and the end of the process.
[[noreturn]] void Fail(const char* format, ...)
    __attribute__((format(printf, 1, 2)));

// From now on a crash fails, and so does a minute without another call of this;
// `*count` is how far the program has come.
void Watch(const volatile long* count, const char* of_what);

using aomalloc::Random;

// A block with a pattern in it; of a large one only its beginning is written.
class Held {
 public:
  // Enters a new block; there must be one.
  void Hold(void* block, size_t size, Random* random);
  // Checks the pattern and returns the block, which is not held any more.
  void* LetGo();
  // Somebody else holds it now.
  void Forget() { block_ = nullptr; }
  explicit operator bool() const { return block_ != nullptr; }
  size_t size() const { return size_; }

 private:
  size_t filled() const { return size_ < kFilled ? size_ : kFilled; }

  static constexpr size_t kFilled = 4096;
  unsigned char* block_ = nullptr;
  size_t size_ = 0;
  unsigned char seed_ = 0;
};

// The physical memory of the process, counted page by page.
size_t ResidentBytes();

// Some systems give huge pages unasked, and a byte may take 2 MiB then: not in
// this process and those that it starts.
void ForbidHugePages();

// What the heap consists of, as mallinfo2 has it: memory in slabs and spans.
size_t HeapBytes();

// Whether the heap grows by mmap.
bool IsMapped();

// Calls `run` in a process of its own, whose heap has not been used if ours has
// not. Returns if all went well.
void InChild(void (*run)());

// Memory that is the same in child processes.
void* MapShared(size_t bytes);

}  // namespace abandon

#endif  // AOMALLOC_TEST_ABANDONED_OPERATIONS_COMMON_H_
