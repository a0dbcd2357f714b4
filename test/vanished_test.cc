// Threads that end without a word, and children of fork: whose heaps are whose.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/allocator.h"
#include "core/thread/thread.h"
#include "test/child.h"
#include "test/step.h"
#include "test/testing.h"
#include "test/vanish.h"

namespace aomalloc {
namespace {

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

#if defined(__x86_64__)

// While its heap is taken from a vanished thread, it turns out that it need not
// be dead: at any instruction the kernel stops to answer for us.
TEST(VanishedTest, TheHeapOfAThreadThatMayLiveIsGivenBack) {
  InChild([] {
    memory::EnableMmap();
    Free(Allocate(100), "test");
    StopRestartableSequences();
    void* list;
    size_t bytes;
    syscall(SYS_get_robust_list, 0, &list, &bytes);
    const ClaimFrame frame;
    Heap* heap = Vanish([] {});
    const AO_t holder = LoadRelaxed(&heap->holder);
    int steps = 1;
    int kept = 0;
    for (int at = 1; at <= steps; at += 7 * Stepper::kStride) {
      const size_t heaps = CountHeaps();
      for (size_t i = 0; i < heaps; ++i) {
        Stepper::Run([&] { thread::AcquireFromDead(kNobody, frame); },
                     [&](int n) {
                       if (n > steps) steps = n;
                       if (n != at) return;
                       syscall(SYS_set_robust_list, nullptr, bytes);
                     });
        syscall(SYS_set_robust_list, list, bytes);
      }
      const AO_t now = LoadRelaxed(&heap->holder);
      ASSERT_TRUE(now == holder || now == kNobody) << at;
      ASSERT_EQ(heap->claim.Peek(), 0u);
      kept += now == holder ? 1 : 0;
      heap->holder = holder;
    }
    EXPECT_GT(kept, 10);
  });
}

#endif

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
