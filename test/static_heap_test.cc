// The allocator without mmap: memory ends, and what is given back serves again,
// whoever gave it back.
#include <errno.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "test/child.h"
#include "test/random.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

void FreeBlock(void* ptr) { Free(ptr, "test"); }

constexpr size_t kHeap = AOMALLOC_STATIC_HEAP_BYTES;

std::vector<void*> FillHeap(size_t size) {
  std::vector<void*> blocks;
  void* block;
  while ((block = Allocate(size)) != nullptr) {
    memset(block, 1, size);
    blocks.push_back(block);
  }
  EXPECT_EQ(errno, ENOMEM);
  return blocks;
}

void FreeAll(const std::vector<void*>& blocks) {
  for (void* block : blocks) FreeBlock(block);
}

// Runs `f` in a child process, where the heap is as it was at the start.
template <typename F>
void OnFreshHeap(F f) {
  InChild([&] {
    f();
    EXPECT_FALSE(memory::MmapEnabled());
    EXPECT_TRUE(HeapsAreValid());
  });
}

using StaticHeapTest = testing::TestWithParam<size_t>;

TEST_P(StaticHeapTest, MostOfItCanBeUsedAgainAndAgain) {
  OnFreshHeap([] {
    const size_t size = GetParam();
    for (int round = 0; round < 5; ++round) {
      const std::vector<void*> blocks = FillHeap(size);
      EXPECT_GE(blocks.size() * size, kHeap * 3 / 4);
      FreeAll(blocks);
    }
  });
}

// Each on a heap that the classes before it have used.
TEST(StaticHeap, EachClassCanUseNineTenthsOfIt) {
  OnFreshHeap([] {
    for (int i = ClassOf(64); i < kNumClasses; ++i) {
      const size_t size = ClassSize(i);
      const std::vector<void*> blocks = FillHeap(size);
      EXPECT_GE(blocks.size() * size, kHeap * 9 / 10) << size;
      FreeAll(blocks);
      void* half = Allocate(kHeap / 2);
      EXPECT_NE(half, nullptr) << "blocks of " << size << " were there before";
      FreeBlock(half);
    }
  });
}

// Once many slabs of a class were full, its next ones have more blocks, if the
// heap is not small, and as long as most of it is free.
TEST(StaticHeap, SlabsOfABusyClassAreLong) {
  OnFreshHeap([] {
    ASSERT_TRUE(memory::SetStaticHeap(size_t{16} << 20));
    constexpr size_t kSize = 1024;
    constexpr size_t kBusy = 400;
    void* other = Allocate(64);  // in a slab of one page
    const std::vector<void*> blocks = FillHeap(kSize);
    ASSERT_GT(blocks.size(), kBusy);
    const auto bytes = [&](size_t i) {
      return memory::BytesOf(memory::RunAt(blocks[i]));
    };
    EXPECT_EQ(bytes(0), size_t{4096});
    EXPECT_EQ(bytes(kBusy), size_t{32768});
    EXPECT_EQ(bytes(blocks.size() - 1), size_t{4096});
    FreeAll(blocks);
    FreeBlock(other);
  });
}

TEST(StaticHeap, SlabsOfASmallHeapAreShort) {
  OnFreshHeap([] {
    const std::vector<void*> blocks = FillHeap(1024);
    for (const void* block : blocks) {
      ASSERT_EQ(memory::BytesOf(memory::RunAt(block)), size_t{4096});
    }
    FreeAll(blocks);
  });
}

// One of them would be half of a small heap, and all of a smaller one.
TEST(StaticHeap, ASlabLeavesRoomInATinyHeap) {
  for (const size_t heap : {size_t{32} << 10, size_t{64} << 10}) {
    OnFreshHeap([=] {
      ASSERT_TRUE(memory::SetStaticHeap(heap));
      for (int i = 0; i < 10; ++i) FreeAll(FillHeap(64));
      EXPECT_EQ(Allocate(heap + 1), nullptr);  // gives all back that is free
      void* block = Allocate(64);
      void* rest = Allocate(heap - 4096);
      EXPECT_NE(rest, nullptr);
      FreeBlock(rest);
      FreeBlock(block);
    });
  }
}

// A few pages are left, fewer than a slab of the class would like to have.
TEST(StaticHeap, AShortSlabFitsWhereALongOneDoesNot) {
  OnFreshHeap([] {
    // More than a few, so that long slabs are in order.
    constexpr size_t kSize = 4608;
    std::vector<void*> blocks;
    for (int i = 0; i < 20; ++i) blocks.push_back(Allocate(kSize));
    while (void* block = Allocate(kSize)) blocks.push_back(block);
    // Those of the first two blocks, in slabs of their own, are neighbours.
    std::vector<void*> pages = FillHeap(4096);
    FreeBlock(blocks[0]);
    FreeBlock(blocks[1]);
    while (void* page = Allocate(4096)) pages.push_back(page);
    std::sort(pages.begin(), pages.end());
    size_t i = 0;
    while (static_cast<char*>(pages[i + 1]) - static_cast<char*>(pages[i]) !=
           4096) {
      ++i;
    }
    FreeBlock(pages[i]);
    FreeBlock(pages[i + 1]);
    pages.erase(pages.begin() + i, pages.begin() + i + 2);
    void* block = Allocate(kSize);
    EXPECT_NE(block, nullptr);
    EXPECT_EQ(Allocate(kSize), nullptr) << "there was room for but one";
    FreeBlock(block);
    blocks.erase(blocks.begin(), blocks.begin() + 2);
    FreeAll(blocks);
    FreeAll(pages);
  });
}

TEST(StaticHeap, ABlockOfAFullHeapCanShrink) {
  OnFreshHeap([] {
    const std::vector<void*> blocks = FillHeap(4096);
    errno = 0;
    EXPECT_EQ(Reallocate(blocks[0], 16, "test"), blocks[0]) << "cannot move";
    FreeAll(blocks);
  });
}

// It cannot move to a slab; what it shrinks by can be had.
TEST(StaticHeap, ALargeBlockOfAFullHeapCanShrink) {
  OnFreshHeap([] {
    void* large = Allocate(100000);
    std::vector<void*> blocks = FillHeap(4096);
    while (void* block = Allocate(1000)) blocks.push_back(block);
    EXPECT_EQ(Reallocate(large, 1000, "test"), large) << "cannot move";
    EXPECT_EQ(UsableSize(large, "test"), 4096u);
    void* block = Allocate(40000);
    EXPECT_NE(block, nullptr);
    FreeBlock(block);
    FreeBlock(large);
    FreeAll(blocks);
  });
}

TEST_P(StaticHeapTest, WhatAnotherThreadFreesServesAgain) {
  OnFreshHeap([] {
    const size_t size = GetParam();
    for (int round = 0; round < 5; ++round) {
      const std::vector<void*> blocks = FillHeap(size);
      InThreads(1, [&](int) { FreeAll(blocks); });
      void* block = Allocate(size);
      EXPECT_NE(block, nullptr) << "everything is free";
      FreeBlock(block);
    }
  });
}

// The thread that the blocks are freed to does not stir.
TEST_P(StaticHeapTest, WhatASleeperHadServesAgain) {
  OnFreshHeap([] {
    const size_t size = GetParam();
    std::vector<void*> blocks;
    std::atomic<bool> filled{false}, over{false};
    std::thread sleeper([&] {
      blocks = FillHeap(size);
      filled = true;
      while (!over) std::this_thread::yield();
    });
    while (!filled) std::this_thread::yield();
    for (int round = 0; round < 3; ++round) {
      const size_t before = blocks.size();
      FreeAll(blocks);
      blocks = FillHeap(size);
      EXPECT_GE(blocks.size() * 10, before * 9) << "round " << round;
    }
    FreeAll(blocks);
    over = true;
    sleeper.join();
  });
}

TEST_P(StaticHeapTest, WhatAnotherThreadFreesServesOtherSizes) {
  OnFreshHeap([] {
    const std::vector<void*> blocks = FillHeap(GetParam());
    InThreads(1, [&](int) { FreeAll(blocks); });
    for (size_t size : {size_t{100000}, size_t{48}, size_t{3000}}) {
      void* block = Allocate(size);
      EXPECT_NE(block, nullptr) << size << " bytes; everything is free";
      FreeBlock(block);
    }
  });
}

TEST_P(StaticHeapTest, WhatAnEndedThreadHadServesAgain) {
  OnFreshHeap([] {
    const size_t size = GetParam();
    for (int round = 0; round < 5; ++round) {
      std::vector<void*> blocks;
      InThreads(1, [&](int) { blocks = FillHeap(size); });
      FreeAll(blocks);
      for (size_t wanted : {size_t{100000}, size, size_t{48}}) {
        void* block = Allocate(wanted);
        EXPECT_NE(block, nullptr) << wanted << " bytes; everything is free";
        FreeBlock(block);
      }
    }
  });
}

// What is free of an ended thread's slabs can be had for blocks like those that
// are left in them.
TEST(StaticHeap, WhatAnEndedThreadHadCanBeReplaced) {
  for (const size_t size : {256, 384, 1024}) {
    OnFreshHeap([=] {
      FreeBlock(Allocate(size));  // or this thread might get that heap
      std::vector<void*> blocks(kHeap / 4 * 3 / size);
      InThreads(1, [&](int) {
        for (void*& block : blocks) block = Allocate(size);
      });
      Random random(1);
      for (int i = 0; i < 50000; ++i) {
        void*& block = blocks[random.Below(blocks.size())];
        FreeBlock(block);
        block = Allocate(size);
        ASSERT_NE(block, nullptr) << size << ", after " << i;
      }
      FreeAll(blocks);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, StaticHeapTest,
                         testing::Values(16, 100, 1000, 4096, 5000, 32768,
                                         65000, 300000));

TEST(StaticHeap, WhatDoesNotFitIsRefused) {
  OnFreshHeap([] {
    for (size_t size : {size_t{AOMALLOC_STATIC_HEAP_BYTES} + 1, size_t{1} << 30,
                        size_t{PTRDIFF_MAX}, SIZE_MAX}) {
      errno = 0;
      EXPECT_EQ(Allocate(size), nullptr);
      EXPECT_EQ(errno, ENOMEM);
      EXPECT_EQ(AllocateAligned(65536, size), nullptr);
      EXPECT_EQ(AllocateZeroed(size), nullptr);
    }
    EXPECT_EQ(AllocateAligned(size_t{1} << 40, 1), nullptr);
  });
}

TEST(StaticHeap, TheFirstRefusalIsAnnounced) {
  OnFreshHeap([] {
    memory::AnnounceExhaustion();
    testing::internal::CaptureStderr();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(Allocate(size_t{1} << 30), nullptr);
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_EQ(text.rfind("aomalloc: the static heap of ", 0), 0u) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  });
}

TEST(StaticHeap, AllSizesAndAlignmentsWork) {
  OnFreshHeap([] {
    for (size_t alignment = 16; alignment <= 65536; alignment *= 2) {
      for (size_t size = 0; size < 70000; size += 1 + size / 7) {
        void* block = AllocateAligned(alignment, size);
        ASSERT_NE(block, nullptr) << alignment << " " << size;
        ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % alignment, 0u);
        ASSERT_GE(UsableSize(block, "test"), size);
        memset(block, 0xA5, size);
        FreeBlock(block);
        void* zeroed = AllocateZeroed(size);
        ASSERT_TRUE(IsZero(zeroed, size)) << size;
        FreeBlock(zeroed);
      }
    }
  });
}

// A slab of the static heap, which is aligned to a page only, may still be at
// hand when mmap has been enabled.
TEST(StaticHeap, LargeAlignmentsAreRightWhenMmapIsEnabled) {
  InChild([] {
    constexpr size_t kSize = 8192;
    const auto is_aligned = [](void* block) {
      return reinterpret_cast<uintptr_t>(block) % kSize == 0;
    };
    void* block = Allocate(kSize);
    for (int i = 0; i < 100 && is_aligned(block); ++i) {
      Allocate(4096);  // moves the next one
      block = Allocate(kSize);
    }
    ASSERT_FALSE(is_aligned(block));
    memory::EnableMmap();
    FreeBlock(block);
    void* next = Allocate(kSize);
    ASSERT_EQ(next, block);
    FreeBlock(next);
    EXPECT_TRUE(is_aligned(AllocateAligned(kSize, kSize)));
    EXPECT_TRUE(HeapsAreValid());
  });
}

TEST(StaticHeap, ReallocationKeepsTheContents) {
  OnFreshHeap([] {
    void* block = Allocate(1);
    size_t filled = 0;
    for (size_t size = 1; size < 900000; size += 1 + size / 3) {
      block = Reallocate(block, size, "test");
      ASSERT_NE(block, nullptr) << size;
      ASSERT_TRUE(IsFilled(block, filled, 4));
      Fill(block, filled = size, 4);
    }
    FreeBlock(block);
  });
}

}  // namespace
}  // namespace aomalloc
