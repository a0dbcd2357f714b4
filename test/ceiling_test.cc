// The ceilings: a limit on all memory in use, and how much of the static heap
// may be used. Exact, whoever asks, and what is given back can be had again.
#include "core/arena/ceiling.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/syscall.h>

#include <algorithm>
#include <vector>

#include "core/allocator.h"
#include "test/child.h"
#include "test/refuse.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

constexpr size_t kUnit = memory::kMappedUnitBytes;
constexpr size_t kLimit = size_t{8} << 20;

size_t InUse() {
  size_t bytes = 0;
  Arena* arena;
  for (int i = 0; (arena = memory::ArenaAt(i)) != nullptr; ++i) {
    bytes += arena->used_units() * arena->unit_bytes();
  }
  return bytes;
}

// Free memory that the system still has to keep.
size_t Dirty() {
  size_t bytes = 0;
  Arena* arena;
  for (int i = 1; (arena = memory::ArenaAt(i)) != nullptr; ++i) {
    bytes += arena->dirty_units() * arena->unit_bytes();
  }
  return bytes;
}

std::vector<void*> FillHeap(size_t size) {
  std::vector<void*> blocks;
  blocks.reserve(kLimit / 1000);
  void* block;
  errno = 0;
  while ((block = Allocate(size)) != nullptr) {
    memset(block, 1, size);
    blocks.push_back(block);
  }
  EXPECT_EQ(errno, ENOMEM);
  return blocks;
}

void FreeAll(const std::vector<void*>& blocks) {
  for (void* block : blocks) Free(block, "test");
}

template <typename F>
void WithLimit(size_t limit, F f) {
  InChild([&] {
    memory::EnableMmap();
    memory::SetLimit(limit);
    EXPECT_TRUE(memory::IsScarce());
    f();
    EXPECT_TRUE(HeapsAreValid());
    EXPECT_LE(InUse() + Dirty(), limit);
  });
}

TEST(Limit, IsReachedAndNotExceeded) {
  for (size_t size : {1000, 32768, 40000, 65536, 1000000}) {
    WithLimit(kLimit, [size] {
      for (int round = 0; round < 3; ++round) {
        const std::vector<void*> blocks = FillHeap(size);
        EXPECT_LE(InUse(), kLimit);
        const size_t rounded = (size + kUnit - 1) / kUnit * kUnit;
        EXPECT_GT(InUse() + (size > kMaxSmall ? rounded : kUnit), kLimit);
        FreeAll(blocks);
      }
    });
  }
}

void LeaveFreeMemoryThatIsNotPurged() {
  std::vector<void*> blocks = FillHeap(kUnit);
  void* middle = blocks[blocks.size() / 2];
  blocks.erase(blocks.begin() + blocks.size() / 2);
  // What is freed last is not purged yet: the lowest.
  std::sort(blocks.rbegin(), blocks.rend());
  FreeAll(blocks);
  EXPECT_GE(Dirty(), 4 * kUnit);
  // Does not fit in beside the one block that is left.
  void* large = Allocate(kLimit - 4 * kUnit);
  EXPECT_NE(large, nullptr);
  EXPECT_LE(InUse() + Dirty(), kLimit);
  Free(large, "test");
  Free(middle, "test");
}

TEST(Limit, FreeMemoryThatIsNotPurgedCounts) {
  WithLimit(kLimit, LeaveFreeMemoryThatIsNotPurged);
}

TEST(Limit, FreeMemoryOfAllPiecesCounts) {
  WithLimit(kLimit, [] {
    RefusePrimary();
    LeaveFreeMemoryThatIsNotPurged();
    EXPECT_NE(memory::ArenaAt(2), nullptr) << "it all fitted into one piece";
  });
}

TEST(Limit, HoldsForBlocksThatGrow) {
  WithLimit(kLimit, [] {
    void* other = Allocate(kLimit / 2);
    void* block = Allocate(kUnit);
    size_t size = kUnit;
    memset(block, 5, size);
    while (void* grown = Reallocate(block, size + kUnit, "test")) {
      block = grown;
      size += kUnit;
      EXPECT_LE(InUse(), kLimit);
    }
    EXPECT_EQ(errno, ENOMEM);
    EXPECT_GE(size, kLimit / 4) << "what is copied takes twice its size";
    EXPECT_EQ(static_cast<char*>(block)[kUnit - 1], 5);
    const size_t before = InUse();
    EXPECT_EQ(Reallocate(block, kUnit, "test"), block) << "no room to move";
    EXPECT_EQ(InUse(), before + kUnit - (size + kUnit - 1) / kUnit * kUnit)
        << "what was cut off counts still";
    Free(other, "test");
    EXPECT_NE(Allocate(kLimit / 2), nullptr);
  });
}

TEST(Limit, FreeMemoryCountsWhereBlocksGrow) {
  static constexpr size_t kLow = 10 * kUnit;
  WithLimit(kLow, [] {
    std::vector<void*> blocks;
    for (int i = 0; i < 6; ++i) blocks.push_back(Allocate(kUnit));
    void* end = Allocate(kUnit);
    size_t size = kUnit;
    FreeAll(blocks);
    EXPECT_GE(Dirty(), 4 * kUnit);
    // In place, as nothing lies behind it.
    while (Reallocate(end, size + kUnit, "test") == end) size += kUnit;
    EXPECT_EQ(InUse(), kLow);
    EXPECT_EQ(Dirty(), 0u);
    Free(end, "test");
  });
}

TEST(Limit, ThreadsShareIt) {
  WithLimit(kLimit, [] {
    std::vector<std::vector<void*>> blocks(4);
    size_t most = 0;
    InThreads(4, [&](int id) {
      const size_t size = id % 2 == 0 ? 3000 : 100000;
      for (int i = 0; i < 3000; ++i) {
        void* block = Allocate(size);
        if (block != nullptr) blocks[id].push_back(block);
        if (block == nullptr && !blocks[id].empty()) {
          Free(blocks[id].back(), "test");
          blocks[id].pop_back();
        }
        if (id == 0 && InUse() > most) most = InUse();
      }
    });
    EXPECT_LE(most, kLimit);
    EXPECT_GT(most, kLimit - kLimit / 8);
    for (const auto& each : blocks) FreeAll(each);
    void* large = Allocate(kLimit - kLimit / 8);
    EXPECT_NE(large, nullptr) << "everything is free";
    Free(large, "test");
  });
}

TEST(Limit, CountsTheStaticHeap) {
  InChild([] {
    // Before mmap is enabled, by the dynamic loader.
    const std::vector<void*> early = {Allocate(100000), Allocate(100)};
    memory::EnableMmap();
    memory::SetLimit(kLimit);
    const std::vector<void*> blocks = FillHeap(kUnit);
    EXPECT_LE(blocks.size() * kUnit, kLimit - 100000);
    FreeAll(blocks);
    FreeAll(early);
    const std::vector<void*> again = FillHeap(kUnit);
    EXPECT_GT(again.size(), blocks.size());
    FreeAll(again);
  });
}

TEST(StaticHeapSize, IsWhatCanBeUsed) {
  for (size_t bytes : {size_t{8192}, size_t{1} << 19, size_t{16} << 20}) {
    InChild([bytes] {
      EXPECT_TRUE(memory::SetStaticHeap(bytes));
      EXPECT_EQ(memory::StaticHeapBytes(), bytes);
      size_t got = 0;
      std::vector<void*> blocks;
      blocks.reserve(bytes / 4096);
      while (void* block = Allocate(4096)) {
        blocks.push_back(block);
        got += 4096;
      }
      EXPECT_EQ(got, bytes);
      EXPECT_EQ(Allocate(4097), nullptr);
      FreeAll(blocks);
      void* all = Allocate(bytes);
      EXPECT_NE(all, nullptr);
      EXPECT_EQ(Reallocate(all, bytes + 1, "test"), nullptr);
      Free(all, "test");
    });
  }
}

// What the dynamic loader has allocated counts, and stays where it is.
TEST(StaticHeapSize, IsExactWhatIsInUseAlready) {
  InChild([] {
    std::vector<void*> early = {Allocate(100), Allocate(20000), Allocate(100)};
    constexpr size_t kBytes = size_t{4} << 20;
    const size_t in_use = memory::UsedBytes();
    ASSERT_TRUE(memory::SetStaticHeap(kBytes));
    EXPECT_EQ(memory::StaticHeapBytes(), kBytes);
    void* rest = Allocate(kBytes - in_use);
    ASSERT_NE(rest, nullptr) << "all that is left is one block";
    EXPECT_EQ(Allocate(4097), nullptr);
    Free(early[1], "test");
    early[1] = Allocate(20000);
    EXPECT_NE(early[1], nullptr) << "it can be used again";
    Free(rest, "test");
    FreeAll(early);
    EXPECT_TRUE(HeapsAreValid());
    EXPECT_NE(Allocate(kBytes - in_use), nullptr);
  });
}

TEST(StaticHeapSize, WhoWantsToKnowIsToldOnceThatItIsFull) {
  InChild([] {
    static int calls = 0;
    memory::CallWhenExhausted([] { ++calls; });
    EXPECT_NE(Allocate(100), nullptr);
    EXPECT_EQ(calls, 0);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(Allocate(memory::StaticHeapBytes()), nullptr);
      EXPECT_EQ(calls, 1);
    }
  });
}

// Blocks of both parts are told from one another, and from what is beside them.
TEST(StaticHeapSize, EachPartIsFound) {
  InChild([] {
    auto* early = static_cast<char*>(Allocate(20000));
    ASSERT_TRUE(memory::SetStaticHeap(size_t{4} << 20));
    auto* late = static_cast<char*>(Allocate(20000));
    EXPECT_EQ(memory::ArenaOf(early), memory::ArenaAt(0));
    EXPECT_EQ(memory::ArenaOf(late), memory::ArenaAt(1));
    EXPECT_EQ(memory::ArenaAt(2), nullptr);
    for (char* block : {early, late}) {
      const auto* run = memory::RunInStatic(block);
      ASSERT_NE(run, nullptr);
      EXPECT_EQ(run->base, block);
      EXPECT_FALSE(memory::IsMapped(run));
      EXPECT_EQ(UsableSize(block, "test"), 20480u - hardening::kCanaryBytes);
    }
    const Arena* rest = memory::ArenaAt(1);
    EXPECT_EQ(memory::RunInStatic(rest->base() - 1), nullptr);
    EXPECT_EQ(memory::RunInStatic(rest->base() + rest->units() * 4096),
              nullptr);
    memory::EnableMmap();
    void* mapped = Allocate(20000);
    EXPECT_EQ(memory::ArenaOf(mapped), memory::ArenaAt(2));
    for (void* block : {mapped, static_cast<void*>(early)}) {
      Free(block, "test");
    }
    Free(late, "test");
    EXPECT_TRUE(HeapsAreValid());
  });
}

TEST(StaticHeapSize, IsAsItWasIfTheSystemRefusesMore) {
  InChild([] {
    const size_t before = memory::StaticHeapBytes();
    Refuse(SYS_mmap, ENOMEM);
    EXPECT_FALSE(memory::SetStaticHeap(size_t{64} << 20));
    EXPECT_EQ(memory::StaticHeapBytes(), before);
    EXPECT_EQ(memory::ArenaAt(1), nullptr);
    EXPECT_NE(Allocate(before), nullptr);
  });
}

}  // namespace
}  // namespace aomalloc
