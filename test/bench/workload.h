// Programs with a fixed amount of work, in the manner of the suites that
// allocators are usually compared by. What they have in common with those is
// the pattern that each is known for; all of it is written anew.
#ifndef AOMALLOC_TEST_BENCH_WORKLOAD_H_
#define AOMALLOC_TEST_BENCH_WORKLOAD_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "bench.h"

namespace bench {

struct Workload {
  const char* name;
  // Does `work` steps in all, however many threads share them.
  void (*run)(int threads, long work);
  // Steps of about half a second.
  long work;
};

// Each ends with one that has no name.
extern const Workload kOwnWorkloads[];
extern const Workload kMixedWorkloads[];
extern const Workload kSharedWorkloads[];
extern const Workload kThreadWorkloads[];

// Runs f(0) .. f(count - 1) in threads of their own and waits for them.
template <typename F>
void InThreads(int count, F f) {
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (int n = 0; n < count; ++n) threads.emplace_back(f, n);
  for (std::thread& thread : threads) thread.join();
}

// A block that knows its size and ends with a mark, so that one which two
// owners got, or whose contents were lost on the way, does not go unnoticed.
struct Block {
  size_t size;
  Block* next;  // For whoever wants to chain them.

  static Block* New(size_t size) {
    size = std::max(size, sizeof(Block));
    return Mark(malloc(size), size);
  }
  static Block* Resize(Block* block, size_t size) {
    size = std::max(size, sizeof(Block));
    Check(block);
    const size_t old = block->size;
    auto* moved = static_cast<Block*>(realloc(block, size));
    if (moved != nullptr && moved->size != old) {
      Die("realloc lost the contents");
    }
    return Mark(moved, size);
  }
  static void Delete(Block* block) {
    if (block == nullptr) return;
    Check(block);
    free(block);
  }

  // Writes to all of it.
  void Fill() { memset(this + 1, kMark, size - sizeof(Block)); }

 private:
  static constexpr unsigned char kMark = 0xA5;

  // Its last byte, null if the block is too small to be marked.
  unsigned char* End() {
    if (size == sizeof(Block)) return nullptr;
    return reinterpret_cast<unsigned char*>(this) + size - 1;
  }
  static Block* Mark(void* memory, size_t size) {
    if (memory == nullptr) Die("out of memory");
    auto* block = static_cast<Block*>(memory);
    block->size = size;
    if (block->End() != nullptr) *block->End() = kMark;
    return block;
  }
  static void Check(Block* block) {
    if (block->size < sizeof(Block) ||
        (block->End() != nullptr && *block->End() != kMark)) {
      Die("a block is not what was stored");
    }
  }
};

// Sizes as programs ask for them: each power of two half as often as the one
// below, from 16 up to `limit`.
inline size_t SkewedSize(Random* random, size_t limit) {
  size_t top = 32;
  for (uint64_t bits = random->Next() >> 20; (bits & 1) && top < limit;
       bits >>= 1) {
    top *= 2;
  }
  return top / 2 + random->Below(top / 2);
}

}  // namespace bench

#endif  // AOMALLOC_TEST_BENCH_WORKLOAD_H_
