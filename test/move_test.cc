// Large blocks that realloc moves: their contents, and the mappings that it
// takes.
#include "core/arena/move.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <vector>

#include "core/allocator.h"
#include "core/arena/huge_pages.h"
#include "core/base/os_memory.h"
#include "test/child.h"
#include "test/refuse.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own

constexpr size_t kKiB = size_t{1} << 10;
constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kUnit = memory::kMappedUnitBytes;
constexpr unsigned kFixed = 2;  // MREMAP_FIXED
constexpr unsigned kFlags = 3;  // which argument of mremap

void FreeBlock(void* ptr) { Free(ptr, "test"); }

// A large block that has another one behind it, and moves when it grows.
struct Growing {
  char* block;
  size_t size;
  std::vector<void*> others;

  explicit Growing(size_t bytes)
      : block(static_cast<char*>(Allocate(bytes))), size(bytes) {
    Fill(block, size, 5);
    Block();
  }
  ~Growing() {
    FreeBlock(block);
    for (void* other : others) FreeBlock(other);
  }
  // Puts something behind it.
  void Block() {
    const Arena* arena = memory::ArenaOf(block);
    const auto end = static_cast<size_t>(run() - arena->table()) + run()->units;
    while (!arena->InUse(end)) others.push_back(Allocate(40 * kKiB));
  }

  Descriptor* run() const { return memory::RunAt(block); }

  // Whether it moved; its contents are kept, and all of it can be used.
  bool Grow(size_t bytes) {
    auto* moved = static_cast<char*>(Reallocate(block, bytes, "test"));
    EXPECT_NE(moved, nullptr);
    if (moved == nullptr) return false;
    EXPECT_TRUE(IsFilled(moved, size, 5));
    const bool has_moved = moved != block;
    block = moved;
    size = bytes;
    Fill(block, UsableSize(block, "test"), 5);
    return has_moved;
  }
};

class MoveTest : public testing::Test {
 protected:
  void SetUp() override {
    // Where huge pages are given unasked one byte takes 2 MiB, moved or not.
    ASSERT_EQ(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
    // And parts of those that are asked for are copied.
    HugePages::Choose(HugePages::Choice::kNever);
    memory::EnableMmap();
    if (!PagesAreMoved()) GTEST_SKIP() << "before Linux 5.14";
  }
};

// Blocks of other tests may lie where this one wants to grow.
TEST_F(MoveTest, ABlockThatIsMovedAgainAndAgainKeepsItsContents) {
  Growing growing(512 * kKiB);
  int moves = 0;
  for (size_t size = kMiB; size <= 64 * kMiB; size *= 2) {
    moves += growing.Grow(size);
    growing.Block();
  }
  EXPECT_GT(moves, 2);
  EXPECT_NE(growing.run()->moved_units, 0u);
}

TEST_F(MoveTest, GrownBlocksTakeAMappingEachAndLeaveNone) {
  InChild([] {
    constexpr size_t kBlocks = 500;
    std::vector<char*> blocks;
    FreeBlock(Allocate(100));
    const size_t before = CountMappings();
    for (size_t i = 0; i < kBlocks; ++i) {
      blocks.push_back(static_cast<char*>(Allocate(270 * kKiB)));
      blocks.back()[0] = 1;
    }
    for (size_t round = 1; round <= 3; ++round) {
      for (char*& block : blocks) {
        const size_t size = (270 + round * 100) * kKiB;
        block = static_cast<char*>(Reallocate(block, size, "test"));
        ASSERT_NE(block, nullptr);
        ASSERT_EQ(block[0], 1);
        block[size - 1] = 1;
      }
    }
    // Of each block one, and of what lies between two.
    EXPECT_LT(CountMappings(), before + 2 * kBlocks + 20);
    for (char* block : blocks) FreeBlock(block);
    EXPECT_LT(CountMappings(), before + 20);
  });
}

// Beyond a number of them blocks are copied, and moved again when others have
// been freed.
TEST_F(MoveTest, NoMoreThanSoManyBlocksAreMovedAtATime) {
  InChild([] {
    std::vector<char*> blocks(2 * move::kMostMoved + 100);
    for (char*& block : blocks) {
      block = static_cast<char*>(Allocate(256 * kKiB));
      *block = 1;
    }
    const auto grow = [](char* block) {
      block = static_cast<char*>(Reallocate(block, 300 * kKiB, "test"));
      EXPECT_EQ(*block, 1);
      return block;
    };
    size_t moved = 0;
    // Those in between are in the way.
    for (size_t i = 0; i < blocks.size(); i += 2) {
      blocks[i] = grow(blocks[i]);
      moved += memory::RunAt(blocks[i])->moved_units != 0;
    }
    EXPECT_EQ(moved, move::kMostMoved);
    const size_t last = blocks.size() - 4;  // with another one behind it
    ASSERT_EQ(memory::RunAt(blocks[last])->moved_units, 0u);
    // So many that the heap does not keep the first one. (Trim would notice
    // that this is the child of a fork, where such a place counts for ever.)
    for (size_t i = 0; i < 9; ++i) FreeBlock(blocks[2 * i]);
    // To new memory.
    blocks[last] =
        static_cast<char*>(Reallocate(blocks[last], 1 * kMiB, "test"));
    EXPECT_NE(memory::RunAt(blocks[last])->moved_units, 0u);
  });
}

// What it grew by in between is another mapping.
TEST_F(MoveTest, ABlockThatWasMovedGrowsWhereItIsAndMovesAgain) {
  InChild([] {
    Growing growing(kMiB);
    ASSERT_TRUE(growing.Grow(2 * kMiB));
    EXPECT_EQ(growing.run()->moved_units, growing.run()->units);
    EXPECT_FALSE(growing.Grow(3 * kMiB));
    EXPECT_LT(growing.run()->moved_units, growing.run()->units);
    growing.Block();
    ASSERT_TRUE(growing.Grow(5 * kMiB));
    EXPECT_EQ(growing.run()->moved_units, growing.run()->units);
    growing.Block();
    ASSERT_TRUE(growing.Grow(9 * kMiB));
    void* zeroed = AllocateZeroed(8 * kMiB);
    EXPECT_TRUE(IsZero(zeroed, 8 * kMiB));
  });
}

// Its memory is used again, wherever it came from.
TEST_F(MoveTest, ABlockThatWasMovedIsKeptForTheNext) {
  InChild([] {
    Growing growing(300 * kKiB);
    ASSERT_TRUE(growing.Grow(500 * kKiB));
    void* place = growing.block;
    FreeBlock(place);
    growing.block = static_cast<char*>(Allocate(growing.size));
    EXPECT_EQ(growing.block, place);
    EXPECT_NE(growing.run()->moved_units, 0u);
    FreeBlock(growing.block);
    Trim();
    EXPECT_EQ(memory::RunAt(place)->moved_units, 0u);
    growing.block = static_cast<char*>(Allocate(growing.size));
  });
}

TEST_F(MoveTest, ShrinkingABlockThatWasMovedGivesItsTailBack) {
  Growing growing(kMiB);
  while (!growing.Grow(growing.size + 256 * kKiB)) growing.Block();
  const Descriptor* run = growing.run();
  const Arena* arena = memory::ArenaOf(growing.block);
  const uint32_t units = run->units;
  growing.size = 300 * kKiB;
  EXPECT_EQ(Reallocate(growing.block, growing.size, "test"), growing.block);
  EXPECT_LT(run->units, units);
  EXPECT_EQ((run + units - 1)->moved_units, 0u);
  EXPECT_EQ(run->moved_units, run->units);
  EXPECT_TRUE(IsFilled(growing.block, growing.size, 5));
  EXPECT_FALSE(
      arena->InUse(static_cast<size_t>(run - arena->table()) + units - 1));
  void* zeroed = AllocateZeroed(4 * kMiB);
  EXPECT_TRUE(IsZero(zeroed, 4 * kMiB));
  FreeBlock(zeroed);
}

TEST_F(MoveTest, WhatWasMovedAwayReadsAsZero) {
  InChild([] {
    Growing growing(2 * kMiB);
    void* place = growing.block;
    ASSERT_TRUE(growing.Grow(8 * kMiB));
    void* zeroed = AllocateZeroed(2 * kMiB);
    EXPECT_EQ(zeroed, place);
    EXPECT_TRUE(IsZero(zeroed, 2 * kMiB));
    FreeBlock(zeroed);
  });
}

// What has no room elsewhere grows where it is.
TEST_F(MoveTest, ABlockThatWasMovedGrowsWhereItIsIfItMust) {
  InChild([] {
    memory::SetLimit(60 * kMiB);
    Growing growing(4 * kMiB);
    ASSERT_TRUE(growing.Grow(16 * kMiB));
    EXPECT_NE(growing.run()->moved_units, 0u);
    EXPECT_FALSE(growing.Grow(50 * kMiB));
  });
}

// Where mapped memory is used up there is the static heap, whose units are
// smaller, and which is the library's own memory.
TEST_F(MoveTest, NothingIsMovedToTheStaticHeap) {
  InChild([] {
    Growing growing(600 * kKiB);
    Refuse(SYS_mprotect, EPERM);
    Refuse(SYS_mmap, EPERM);
    void* block = nullptr;
    do {
      block = Allocate(300 * kKiB);
    } while (memory::ArenaOf(block)->mapped());
    FreeBlock(block);
    EXPECT_TRUE(growing.Grow(800 * kKiB));
    EXPECT_FALSE(memory::ArenaOf(growing.block)->mapped());
    EXPECT_EQ(growing.run()->moved_units, 0u);
  });
}

// As if it had been freed.
TEST_F(MoveTest, WhatABlockShrinksByIsGivenBack) {
  InChild([] {
    auto* block = static_cast<char*>(Allocate(128 * kMiB));
    memset(block, 1, 128 * kMiB);
    ASSERT_EQ(Reallocate(block, kMiB, "test"), block);
    EXPECT_LT(ResidentBytes(), 40 * kMiB);
  });
}

size_t ResidentOf(const void* block, size_t bytes) {
  size_t resident = 0;
  EXPECT_TRUE(os::Resident(block, bytes, &resident));
  return resident;
}

// Pages that were never written to take no memory when the block has moved,
// whether it was moved or copied.
TEST_F(MoveTest, SparseBlocksStaySparse) {
  for (const bool refuse : {false, true}) {
    InChild([refuse] {
      Trim();
      if (refuse) Refuse(SYS_mremap, EPERM);
      constexpr size_t kSize = 64 * kMiB;
      void* block = AllocateZeroed(kSize);
      const Descriptor* end =
          memory::RunAt(block) + memory::RunAt(block)->units;
      const Arena* arena = memory::ArenaOf(block);
      while (!arena->InUse(static_cast<size_t>(end - arena->table()))) {
        Allocate(40 * kKiB);
      }
      for (size_t at = 0; at < kSize; at += 8 * kMiB) {
        static_cast<char*>(block)[at + 5000] = 1;
      }
      auto* moved = static_cast<char*>(Reallocate(block, 2 * kSize, "test"));
      ASSERT_NE(moved, nullptr);
      ASSERT_NE(moved, block);
      EXPECT_LE(ResidentOf(moved, 2 * kSize), kMiB);
      for (size_t at = 0; at < kSize; at += 8 * kMiB) {
        EXPECT_EQ(moved[at], 0);
        EXPECT_EQ(moved[at + 5000], 1);
      }
    });
  }
}

long PageFaults() {
  rusage usage{};
  EXPECT_EQ(getrusage(RUSAGE_SELF, &usage), 0);
  return usage.ru_minflt;
}

// Moved pages leave holes, and are replaced when the block is freed. Where the
// new place has pages already, that costs more than to copy.
TEST_F(MoveTest, WhatGrowsIntoMemoryThatWasUsedTakesNoPageFaults) {
  InChild([] {
    const auto round = [] {
      Growing growing(640 * kKiB);
      EXPECT_TRUE(growing.Grow(1280 * kKiB));
      EXPECT_EQ(growing.run()->moved_units, 0u);
    };
    // Free memory that stays, with its pages: all the lowest that fits.
    purge::Allow(64 * kMiB);
    std::vector<void*> used;
    for (int i = 0; i < 20; ++i) {
      used.push_back(Allocate(1280 * kKiB));
      Fill(used.back(), 1280 * kKiB, 1);
    }
    for (void* block : used) FreeBlock(block);
    round();
    const long before = PageFaults();
    for (int i = 0; i < 50; ++i) round();
    EXPECT_LT(PageFaults() - before, 50);
  });
}

// Moved pages go when the block is freed, with all that were touched behind.
TEST_F(MoveTest, LittleThatGrowsMuchTakesPageFaultsOnlyOnce) {
  InChild([] {
    const auto grow = [] {
      auto* block = static_cast<char*>(Allocate(300 * kKiB));
      auto* behind = static_cast<char*>(Allocate(3 * kMiB));
      memset(block, 1, 300 * kKiB);
      behind[0] = 1;
      block = static_cast<char*>(Reallocate(block, 5 * kMiB, "test"));
      memset(block, 1, 5 * kMiB);
      FreeBlock(behind);
      FreeBlock(block);
    };
    for (int i = 0; i < 5; ++i) grow();
    const long before = PageFaults();
    for (int i = 0; i < 5; ++i) grow();
    EXPECT_LT(PageFaults() - before, 1000);
  });
}

// While much is copied, it would be resident twice.
TEST_F(MoveTest, MuchIsMovedHoweverMuchItGrows) {
  InChild([] {
    Growing growing(16 * kMiB);
    EXPECT_TRUE(growing.Grow(80 * kMiB));
    EXPECT_NE(growing.run()->moved_units, 0u);
  });
}

// As a large one is.
TEST_F(MoveTest, ManyPagesAreMovedToMemoryThatWasUsed) {
  InChild([] {
    purge::Allow(64 * kMiB);
    void* used = Allocate(32 * kMiB);
    Fill(used, 32 * kMiB, 1);
    FreeBlock(used);
    Growing growing(4 * kMiB);
    EXPECT_TRUE(growing.Grow(8 * kMiB));
    EXPECT_NE(growing.run()->moved_units, 0u);
  });
}

// There the kernel joins no new pages with old ones.
TEST_F(MoveTest, InAForkChildToo) {
  FreeBlock(Allocate(100));  // the process is known
  InChild([] {
    FreeBlock(Allocate(100));
    for (int round = 0; round < 20; ++round) {
      Growing growing(kMiB);
      ASSERT_TRUE(growing.Grow(4 * kMiB));
      EXPECT_NE(growing.run()->moved_units, 0u);
    }
  });
}

// A filter that lets the one call through and not the other.
TEST_F(MoveTest, WhatIsDetachedAndCannotBeAttachedIsPutBack) {
  for (const int error : kRefusals) {
    InChild([error] {
      RefuseIf(SYS_mremap, kFlags, kFixed, static_cast<unsigned>(error));
      Growing growing(2 * kMiB);
      const Arena* arena = memory::ArenaOf(growing.block);
      const size_t used = arena->used_units();
      EXPECT_TRUE(growing.Grow(4 * kMiB));
      EXPECT_EQ(growing.run()->moved_units, 0u);
      EXPECT_EQ(arena->used_units(),
                used - 2 * kMiB / kUnit + growing.run()->units);
      growing.Block();
      EXPECT_TRUE(growing.Grow(8 * kMiB));
    });
  }
}

TEST_F(MoveTest, LockedBlocksAreCopied) {
  InChild([] {
    Growing growing(kMiB);
    ASSERT_EQ(mlock(growing.block + 100 * kKiB, 100 * kKiB), 0);
    EXPECT_TRUE(growing.Grow(4 * kMiB));
    growing.Block();
    ASSERT_EQ(mlock(growing.block, growing.size), 0);
    EXPECT_TRUE(growing.Grow(16 * kMiB));
    void* zeroed = AllocateZeroed(4 * kMiB);
    EXPECT_TRUE(IsZero(zeroed, 4 * kMiB));
  });
}

// New pages cannot be had for a tail that was moved: it stays as it is, and
// nothing is moved any more.
TEST_F(MoveTest, ATailThatIsNotRenewedStaysDirty) {
  InChild([] {
    Growing growing(kMiB);
    ASSERT_TRUE(growing.Grow(4 * kMiB));
    Arena* arena = memory::ArenaOf(growing.block);
    purge::Allow(64 * kMiB);
    FreeBlock(Allocate(16 * kMiB));  // there is room when mmap is refused
    Refuse(SYS_mmap, EPERM);
    const size_t dirty = arena->dirty_units();
    growing.size = 2 * kMiB;
    EXPECT_EQ(Reallocate(growing.block, growing.size, "test"), growing.block);
    EXPECT_EQ(arena->dirty_units(), dirty + 2 * kMiB / kUnit);
    growing.Block();
    EXPECT_TRUE(growing.Grow(8 * kMiB));
    EXPECT_EQ(growing.run()->moved_units, 0u);
  });
}

// New pages cannot be had for what was moved: then it stays as it is.
TEST_F(MoveTest, WhatIsNotRenewedStaysDirty) {
  InChild([] {
    Growing growing(kMiB);
    ASSERT_TRUE(growing.Grow(2 * kMiB));
    ASSERT_NE(growing.run()->moved_units, 0u);
    Arena* arena = memory::ArenaOf(growing.block);
    Descriptor* run = growing.run();
    purge::Allow(64 * kMiB);
    Refuse(SYS_mmap, EPERM);
    const size_t dirty = arena->dirty_units();
    memory::Return(run, true);
    EXPECT_GT(arena->dirty_units(), dirty);
    EXPECT_EQ(run->moved_units, 0u);
    growing.block = static_cast<char*>(Allocate(kMiB));
    ASSERT_NE(growing.block, nullptr);
  });
}

// The kernel has unmapped it, or has not: pages whose fate is not known are
// used again only if they are seen to be the old ones.
TEST_F(MoveTest, PagesOfUnknownFateAreLookedAt) {
  InChild([] {
    Growing growing(kMiB);
    ASSERT_TRUE(growing.Grow(2 * kMiB));
    Arena* arena = memory::ArenaOf(growing.block);
    Descriptor* run = growing.run();
    const size_t used = arena->used_units();
    Refuse(SYS_mmap, ENOMEM);
    memory::Return(run, true);
    EXPECT_LT(arena->used_units(), used);
    growing.block = static_cast<char*>(Allocate(kMiB));
    EXPECT_TRUE(growing.block != nullptr);
    memset(growing.block, 1, kMiB);
  });
}

}  // namespace
}  // namespace aomalloc
