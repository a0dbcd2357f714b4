// Threads that end without a word, and children of fork: whose heaps are whose.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <list>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/thread/liveness.h"
#include "core/thread/thread.h"
#include "test/child.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

AO_t IdOf(const Heap* heap) { return Holder::IdOf(LoadRelaxed(&heap->holder)); }

size_t CountHeaps() {
  size_t count = 0;
  for (Heap* h = thread::Registry(); h != nullptr; h = thread::Next(h)) {
    ++count;
  }
  return count;
}

// Claims heaps, as handlers nested ever deeper would, until it gets `wanted` or
// a heap had to be made.
bool Gets(Heap* wanted) {
  const size_t heaps = CountHeaps();
  std::list<ClaimFrame> frames;
  std::vector<Heap*> claimed;
  do {
    claimed.push_back(thread::ClaimHeap(frames.emplace_back()));
  } while (claimed.back() != wanted && CountHeaps() == heaps);
  const bool got =
      claimed.back() == wanted && wanted->claim.Peek() == frames.back().tag();
  for (Heap* heap : claimed) heap->claim.Release();
  return got;
}

// Runs `f` in a thread that then ends by the raw system call. The kernel says
// that it has ended a little before it forgets its id.
template <typename F>
Heap* Vanish(F f) {
  Heap* heap = nullptr;
  pid_t id = 0;
  std::thread([&] {
    Free(Allocate(100), "test");
    heap = thread::current;
    id = gettid();
    f();
    syscall(SYS_exit, 0);
  }).join();
  while (syscall(SYS_tgkill, getpid(), id, 0) == 0) std::this_thread::yield();
  return heap;
}

TEST(VanishedTest, TheHeapOfAVanishedThreadIsTakenOver) {
  InChild([] {
    memory::EnableMmap();
    Free(Allocate(100), "test");
    void* block = nullptr;
    Heap* heap = Vanish([&] {
      block = Allocate(5000);
      Fill(block, 5000, 1);
    });
    EXPECT_NE(LoadRelaxed(&heap->holder), 0u);
    InThreads(1, [&](int) { EXPECT_TRUE(Gets(heap)); });
    EXPECT_TRUE(IsFilled(block, 5000, 1));
    Free(block, "test");
  });
}

TEST(VanishedTest, WhatItWasDoingIsPutRight) {
  InChild([] {
    memory::EnableMmap();
    Free(Allocate(100), "test");
    // Not on its stack, which the next thread may get and overwrite.
    static const ClaimFrame frame;
    Heap* heap = Vanish([] { thread::current->claim.Claim(frame); });
    EXPECT_NE(heap->claim.Peek(), 0u);
    InThreads(1, [&](int) { EXPECT_TRUE(Gets(heap)); });
    EXPECT_TRUE(heap->IsValid());
  });
}

// The search for heaps of vanished threads goes round the whole registry, and
// takes what is idle too.
TEST(VanishedTest, IdleHeapsAreFoundByEitherSearch) {
  InChild([] {
    memory::EnableMmap();
    Free(Allocate(100), "test");
    Heap* idle = nullptr;
    InThreads(1, [&](int) {
      Free(Allocate(100), "test");
      idle = thread::current;
    });
    ASSERT_EQ(LoadRelaxed(&idle->holder), 0u);
    constexpr AO_t kOther = AO_t{1} << 63;
    const ClaimFrame frame;
    const size_t heaps = CountHeaps();
    for (size_t i = 0; i < heaps; ++i) thread::AcquireFromDead(kOther, frame);
    EXPECT_EQ(LoadRelaxed(&idle->holder), kOther);
    EXPECT_EQ(idle->claim.Peek(), 0u);
  });
}

// Only the thread that forks is there afterwards.
TEST(VanishedTest, AForkedChildKeepsItsHeapsAndTakesOverThoseOfOthers) {
  InChild([] {
    memory::EnableMmap();
    Free(Allocate(100), "test");
    Heap* other = thread::current;
    InThreads(1, [&](int) {
      Free(Allocate(100), "test");
      Heap* own = thread::current;
      InChild([&] {
        EXPECT_NE(IdOf(own), static_cast<AO_t>(getpid()));
        EXPECT_TRUE(Gets(other));
        EXPECT_EQ(IdOf(own), static_cast<AO_t>(getpid()));
        EXPECT_EQ(LoadRelaxed(&own->holder), LoadRelaxed(&other->holder));
      });
    });
  });
}

}  // namespace
}  // namespace aomalloc
