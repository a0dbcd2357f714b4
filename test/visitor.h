// Threads that visit the heaps of others, and threads whose heaps are visited.
#ifndef AOMALLOC_TEST_VISITOR_H_
#define AOMALLOC_TEST_VISITOR_H_

#include <gtest/gtest.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <functional>
#include <utility>

#include "core/allocator.h"
#include "core/thread/remote_claim.h"
#include "test/heaps.h"
#include "test/sleeper.h"
#include "test/vanish.h"

namespace aomalloc {

inline void FreeBlock(void* ptr) { Free(ptr, "test"); }

// A thread that visits heaps, and stays there until it is told to leave.
class Visitor {
 public:
  bool Enter(Heap* heap) {
    bool entered = false;
    thread_.Do([&] {
      from_ = thread::ClaimHeap(frame_);
      entered = remote_claim::Begin(from_, heap);
      if (!entered) thread::Unclaim(from_, frame_);
    });
    return entered;
  }
  void Leave() {
    thread_.Do([&] {
      remote_claim::End(from_);
      thread::Unclaim(from_, frame_);
    });
  }
  Heap* from() const { return from_; }
  const ClaimFrame& frame() const { return frame_; }
  Sleeper* thread() { return &thread_; }

 private:
  Sleeper thread_;
  ClaimFrame frame_;  // not on its stack, for nobody to overwrite it
  Heap* from_ = nullptr;
};

// A thread with a heap, in which a block is live.
class Visited {
 public:
  Visited() {
    thread_.Do([&] {
      TakeSlowPaths();
      block_ = Allocate(1000);
      heap_ = thread::current;
    });
  }
  // True if it can use its heap, which is valid.
  bool HasItsHeap() {
    bool has = false;
    thread_.Do([&] {
      FreeBlock(Allocate(3000));
      FreeBlock(Allocate(50));
      has = thread::current == heap_ && HeapsAreValid();
    });
    return has;
  }
  void Do(std::function<void()> what) { thread_.Do(std::move(what)); }
  Heap* heap() const { return heap_; }
  void*& block() { return block_; }

 private:
  Sleeper thread_;
  Heap* heap_ = nullptr;
  void* block_ = nullptr;
};

// Leaves something in the heap of `owner` for a visitor to do.
inline void SendTo(Visited* owner, Sleeper* sender) {
  void* block = nullptr;
  owner->Do([&] { block = Allocate(20000); });
  sender->Do([&] { FreeBlock(block); });
}

// True where a program plays the processor.
inline bool IsEmulated() {
  bool is_emulated = false;
#if defined(__x86_64__)
  unsigned most, b, c, d;
  __cpuid(0x40000000, most, b, c, d);
  is_emulated = memcmp(&b, "TCGT", sizeof(b)) == 0;
#endif
  return is_emulated;
}

class VisitTest : public testing::Test {
 protected:
  void SetUp() override {
    memory::EnableMmap();
    FreeBlock(Allocate(1));
    if (IsEmulated()) GTEST_SKIP() << "an emulator may split instructions";
  }
  void TearDown() override { EXPECT_TRUE(HeapsAreValid()); }
};

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_VISITOR_H_
