// What lies behind the request in the last unit of a large block.
#include "core/arena/tails.h"

#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>

#include <vector>

#include "core/allocator.h"
#include "core/base/os.h"
#include "core/report/statistics.h"
#include "core/thread/thread.h"
#include "test/child.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

constexpr size_t kUnit = memory::kMappedUnitBytes;
constexpr size_t kSize = 40000;   // one unit
constexpr size_t kBytes = 40960;  // what may be used of it
constexpr size_t kTail = kUnit - kBytes;
constexpr size_t kMostCredit = 256;

void FreeBlock(void* ptr) { Free(ptr, "test"); }
size_t Usable(const void* ptr) { return UsableSize(ptr, "test"); }

size_t ResidentIn(const char* start, size_t bytes) {
  size_t count = 0;
  for (size_t at = 0; at < bytes; at += tails::kPage) {
    unsigned char page = 0;
    mincore(const_cast<char*>(start) + at, 1, &page);
    count += page & 1;
  }
  return count * tails::kPage;
}
size_t ResidentTail(const char* block) {
  return ResidentIn(block + kBytes, kTail);
}

// In a process that has no span yet.
template <typename F>
void Try(F f) {
  InChild([f] {
    memory::EnableMmap();
    f();
    EXPECT_TRUE(HeapsAreValid());
  });
}

// Where pages are larger, a tail is a part of one, and none is purged.
class TailsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (os::PageSize() != tails::kPage) GTEST_SKIP() << "pages are larger";
  }
};

// A block whose run was written to from end to end.
char* DirtySpan(size_t size = kSize) {
  const size_t all = (size + kUnit - 1) / kUnit * kUnit;
  void* before = Allocate(all);
  memset(before, 1, all);
  FreeBlock(before);
  auto* block = static_cast<char*>(Allocate(size));
  EXPECT_EQ(block, before) << "the heap has not kept the run";
  return block;
}

// Allocates until no dirty tail like these may stay, also if so many units more
// are in use.
std::vector<char*> UseUpWhatMayStay(size_t units = 1) {
  std::vector<char*> blocks;
  void* more = Allocate(units * kUnit);
  const auto may_stay = [=] {
    const size_t used = memory::MappedAt(0)->used_units() + 1;
    return tails::kIdleBytes + used * kUnit / tails::kIdleFraction;
  };
  while (tails::DirtyBytes() + kTail <= may_stay()) {
    blocks.push_back(DirtySpan());
  }
  FreeBlock(more);
  return blocks;
}

// The runs that this thread's heap has kept go to the arena.
void GiveUpRuns() { thread::current->runs(/*mapped=*/true).GiveUp(); }

bool AllAre(const char* bytes, size_t count, char value) {
  return bytes[0] == value && memcmp(bytes, bytes + 1, count - 1) == 0;
}

TEST(UsableTailsTest, UsableAreTheWholePagesOfTheRequest) {
  for (const bool mapped : {false, true}) {
    InChild([=] {
      if (mapped) memory::EnableMmap();
      for (size_t size = kMaxSmall + 1; size < 500000; size += 1777) {
        void* block = Allocate(size);
        ASSERT_NE(block, nullptr);
        EXPECT_GE(Usable(block), size);
        EXPECT_LE(Usable(block), size + tails::kPage - 1);
        memset(block, 1, Usable(block));
        FreeBlock(block);
      }
    });
  }
}

TEST_F(TailsTest, OfNewMemoryIsClean) {
  Try([] {
    auto* block = static_cast<char*>(Allocate(kSize));
    memset(block, 1, Usable(block));
    EXPECT_EQ(ResidentTail(block), 0u);
    EXPECT_EQ(tails::DirtyBytes(), 0u);
  });
}

TEST_F(TailsTest, AFewStayAndGoWithTheirBlocks) {
  Try([] {
    const std::vector<char*> blocks = UseUpWhatMayStay();
    EXPECT_EQ(tails::DirtyBytes(), blocks.size() * kTail);
    for (const char* block : blocks) EXPECT_EQ(ResidentTail(block), kTail);
    for (char* block : blocks) FreeBlock(block);
    GiveUpRuns();
    EXPECT_EQ(tails::DirtyBytes(), 0u);
  });
}

// Threads that allocate and free spans of one size change no common word.
TEST(UsableTailsTest, StayCountedWhileTheRunIsKept) {
  Try([] {
    char* block = DirtySpan();
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(tails::DirtyBytes(), kTail);
      FreeBlock(block);
      EXPECT_EQ(tails::DirtyBytes(), kTail);
      EXPECT_EQ(Allocate(kSize), block);
    }
    FreeBlock(block);
    // For another size.
    EXPECT_EQ(Allocate(kUnit), block);
    EXPECT_EQ(tails::DirtyBytes(), 0u);
    FreeBlock(block);
    EXPECT_EQ(DirtySpan(), block);
    EXPECT_EQ(tails::DirtyBytes(), kTail);
    // For a slab.
    FreeBlock(block);
    while (tails::DirtyBytes() != 0) {
      ASSERT_NE(memory::RunAt(Allocate(kMaxSmall)), nullptr);
      ASSERT_LT(memory::UsedBytes(), size_t{100} << 20) << "no slab took it";
    }
  });
}

// One that was abandoned may have uncounted a tail that is uncounted again.
TEST(UsableTailsTest, ASumThatIsTooLowBeginsAnew) {
  Try([] {
    char* block = DirtySpan();
    memory::RunAt(block)->span_bytes += 2;  // pages that were not counted
    FreeBlock(block);
    GiveUpRuns();
    EXPECT_EQ(tails::DirtyBytes(), 0u);
    DirtySpan();
    EXPECT_EQ(tails::DirtyBytes(), kTail);
  });
}

TEST_F(TailsTest, MoreThanMayStayArePurged) {
  Try([] {
    UseUpWhatMayStay(10);
    const size_t stay = tails::DirtyBytes();
    char* block = DirtySpan();
    EXPECT_EQ(ResidentTail(block), 0u);
    EXPECT_EQ(ResidentIn(block, kBytes), kBytes) << "that is not the tail";
    EXPECT_EQ(tails::DirtyBytes(), stay);
    // In the last unit of several, too.
    char* large = DirtySpan(5 * kUnit + kSize);
    EXPECT_EQ(ResidentTail(large + 5 * kUnit), 0u);
    EXPECT_EQ(ResidentIn(large, 5 * kUnit + kBytes), 5 * kUnit + kBytes);
    FreeBlock(block);
    FreeBlock(large);
    EXPECT_EQ(tails::DirtyBytes(), stay);
  });
}

TEST_F(TailsTest, OfRunsThatTheArenasHad) {
  Try([] {
    constexpr size_t kMore = RunCache::kMaxUnits + 2;
    UseUpWhatMayStay(kMore);
    Allocate(kMore * kUnit);  // what that has freed
    constexpr size_t kAll = (RunCache::kMaxUnits + 1) * kUnit;
    char* much = static_cast<char*>(Allocate(kAll));
    memset(much, 1, kAll);
    FreeBlock(much);
    auto* block =
        static_cast<char*>(Allocate(RunCache::kMaxUnits * kUnit + kSize));
    ASSERT_EQ(block, much);
    EXPECT_EQ(ResidentTail(block + RunCache::kMaxUnits * kUnit), 0u);
  });
}

TEST_F(TailsTest, AreNotPurgedForLessThanTheCall) {
  Try([] {
    UseUpWhatMayStay();
    const size_t stay = tails::DirtyBytes();
    constexpr size_t kLittle = (tails::kLeastPages - 1) * tails::kPage;
    char* block = DirtySpan(kUnit - kLittle);
    EXPECT_EQ(ResidentIn(block, kUnit), kUnit);
    EXPECT_EQ(tails::DirtyBytes(), stay) << "nor counted";
  });
}

TEST_F(TailsTest, WhatWasPurgedIsCleanForTheNextBlock) {
  Try([] {
    UseUpWhatMayStay();
    FreeBlock(DirtySpan());
    // The first has a dirty tail of one page, and the second has none.
    for (const size_t pages : {1, 0}) {
      const size_t size = kBytes - pages * tails::kPage;
      auto* block = static_cast<char*>(Allocate(size));
      EXPECT_EQ(ResidentIn(block, kUnit), kBytes);
      EXPECT_EQ(memory::RunAt(block)->span_bytes, size + pages);
      FreeBlock(block);
    }
    auto* block = static_cast<char*>(Allocate(kUnit));
    EXPECT_EQ(Usable(block), kUnit);
    memset(block, 1, kUnit);
    FreeBlock(block);
    block = static_cast<char*>(Allocate(kSize));
    EXPECT_EQ(ResidentTail(block), 0u) << "it was dirty again";
  });
}

TEST_F(TailsTest, ASlabsRunIsDirtyFromEndToEnd) {
  Try([] {
    UseUpWhatMayStay();
    FreeBlock(DirtySpan());  // its run has a clean tail
    constexpr size_t kInSlab = 16384;
    std::vector<char*> blocks;
    while (blocks.size() < 2 * kUnit / kInSlab) {
      blocks.push_back(static_cast<char*>(Allocate(kInSlab)));
      memset(blocks.back(), 1, kInSlab);
    }
    for (char* block : blocks) FreeBlock(block);
    auto* block = static_cast<char*>(Allocate(kSize));
    ASSERT_EQ(memory::RunAt(block)->base, block);
    EXPECT_EQ(ResidentTail(block), 0u);
  });
}

TEST_F(TailsTest, ABlockGrowsIntoItsTail) {
  Try([] {
    UseUpWhatMayStay();
    const size_t stay = tails::DirtyBytes();
    for (const bool dirty : {false, true}) {
      char* block = DirtySpan(dirty ? kUnit - tails::kPage : kSize);
      memset(block, 7, kSize);
      for (size_t size = kSize; size <= kUnit; size += 1000) {
        ASSERT_EQ(Reallocate(block, size, "test"), block);
        EXPECT_GE(Usable(block), size);
        EXPECT_LE(Usable(block), size + tails::kPage - 1);
        memset(block + kSize, 7, Usable(block) - kSize);
      }
      EXPECT_TRUE(AllAre(block, kUnit - 1000, 7));
      FreeBlock(block);
    }
    EXPECT_EQ(tails::DirtyBytes(), stay);
  });
}

TEST(UsableTailsTest, WhatABlockGrowsIntoIsCountedNoMore) {
  Try([] {
    char* block = DirtySpan();
    EXPECT_EQ(tails::DirtyBytes(), kTail);
    block = static_cast<char*>(Reallocate(block, kSize + tails::kPage, "test"));
    EXPECT_EQ(tails::DirtyBytes(), kTail - tails::kPage);
    block = static_cast<char*>(Reallocate(block, kUnit, "test"));
    EXPECT_EQ(tails::DirtyBytes(), 0u);
    FreeBlock(block);
    EXPECT_EQ(tails::DirtyBytes(), 0u);
  });
}

TEST(UsableTailsTest, ABlockGrowsIntoOtherUnits) {
  Try([] {
    auto* block = static_cast<char*>(Allocate(kSize));
    memset(block, 7, kSize);
    for (const size_t size : {3 * kUnit - 5000, 3 * kUnit + 5000, 9 * kUnit}) {
      block = static_cast<char*>(Reallocate(block, size, "test"));
      ASSERT_NE(block, nullptr);
      EXPECT_LE(Usable(block), size + tails::kPage - 1);
      EXPECT_TRUE(AllAre(block, kSize, 7));
      memset(block + kSize, 1, Usable(block) - kSize);
    }
  });
}

TEST_F(TailsTest, ABlockThatShrinksHasADirtyTail) {
  Try([] {
    for (const size_t more : {0 * kUnit, 4 * kUnit}) {
      const std::vector<char*> blocks = UseUpWhatMayStay(5);
      auto* block = static_cast<char*>(Allocate(more + kUnit));
      memset(block, 7, more + kUnit);
      ASSERT_EQ(Reallocate(block, kSize, "test"), block);
      EXPECT_EQ(Usable(block), kBytes);
      EXPECT_EQ(ResidentTail(block), 0u);
      EXPECT_TRUE(AllAre(block, kBytes, 7));
      FreeBlock(block);
      for (char* other : blocks) FreeBlock(other);
      GiveUpRuns();
      EXPECT_EQ(tails::DirtyBytes(), 0u);
    }
  });
}

TEST(UsableTailsTest, MovedPagesKeepTheirContents) {
  Try([] {
    for (const size_t units : {5, 9, 16}) {
      const size_t size = units * kUnit - kTail;
      char* block = DirtySpan(size);
      void* behind = Allocate(kUnit);
      Fill(block, Usable(block), 9);
      const size_t usable = Usable(block);
      block = static_cast<char*>(Reallocate(block, 2 * size, "test"));
      ASSERT_TRUE(IsFilled(block, usable, 9));
      Fill(block, Usable(block), 8);
      block = static_cast<char*>(Reallocate(block, 7 * size, "test"));
      ASSERT_TRUE(IsFilled(block, 2 * size, 8));
      FreeBlock(behind);
      FreeBlock(block);
    }
    EXPECT_EQ(tails::DirtyBytes(), 0u);
  });
}

TEST_F(TailsTest, StayWhereTheUserSaysWhatMayStay) {
  Try([] {
    purge::Allow(size_t{1} << 20);
    UseUpWhatMayStay();
    EXPECT_EQ(ResidentTail(DirtySpan()), kTail);
  });
}

// Purges of spans that live a moment would cost a program that has many of
// these a page fault for each page, time and again.
TEST_F(TailsTest, ArePurgedAsLongAsTheirBlocksLiveLong) {
  Try([] {
    UseUpWhatMayStay(kMostCredit + 10);
    std::vector<char*> blocks;
    while (blocks.size() < kMostCredit) {
      blocks.push_back(DirtySpan());
      ASSERT_EQ(ResidentTail(blocks.back()), 0u) << blocks.size();
    }
    EXPECT_EQ(ResidentTail(DirtySpan()), kTail) << "nothing is known yet";
    const size_t then = os::CoarseMilliseconds();
    while (os::CoarseMilliseconds() < then + 120) {
    }
    // Each that lived long is worth three.
    FreeBlock(blocks[0]);
    Allocate(kUnit);  // that run
    for (int i = 0; i < 3; ++i) EXPECT_EQ(ResidentTail(DirtySpan()), 0u) << i;
    EXPECT_EQ(ResidentTail(DirtySpan()), kTail);
  });
}

// What is larger than ever takes page faults anyway.
TEST_F(TailsTest, ArePurgedAsTheHeapGrows) {
  Try([] {
    for (size_t i = 0; i < 4 * kMostCredit; ++i) DirtySpan();
    EXPECT_LE(tails::DirtyBytes(),
              tails::kIdleBytes + memory::UsedBytes() / tails::kIdleFraction);
  });
}

// However many there are.
TEST_F(TailsTest, OfBlocksThatShrinkAreAnEighthAtMost) {
  Try([] {
    std::vector<char*> blocks(2000);
    for (char*& block : blocks) {
      block = static_cast<char*>(Allocate(kUnit));
      memset(block, 1, kUnit);
    }
    for (char* block : blocks) {
      ASSERT_EQ(Reallocate(block, kSize, "test"), block);
    }
    EXPECT_LE(tails::DirtyBytes(), tails::kIdleBytes + memory::UsedBytes() / 8);
  });
}

TEST(UsableTailsTest, WhatIsBehindABlockIsNotInUse) {
  Try([] {
    const Statistics before = Count();
    Allocate(kSize);
    const Statistics after = Count();
    EXPECT_EQ(after.live(), before.live() + kBytes);
    EXPECT_EQ(after.span_bytes, before.span_bytes + kBytes);
    EXPECT_EQ(after.span_tails, before.span_tails + kTail);
  });
}

}  // namespace
}  // namespace aomalloc
