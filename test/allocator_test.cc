// The allocator as a whole, with mmap. The program's own malloc is the
// system's.
#include "core/allocator.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <stdint.h>

#include <set>
#include <thread>
#include <vector>

#include "core/atomic_ops_malloc.h"
#include "core/report/statistics.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

void FreeBlock(void* ptr) { Free(ptr, "test"); }

class AllocatorTest : public testing::Test {
 protected:
  void SetUp() override { memory::EnableMmap(); }
  void TearDown() override { EXPECT_TRUE(HeapsAreValid()); }
};

bool IsAligned(const void* ptr, size_t alignment) {
  return reinterpret_cast<uintptr_t>(ptr) % alignment == 0;
}

TEST_F(AllocatorTest, EverySizeHasABlockOfItsOwn) {
  // All sizes up to a bit more than the largest class, then with growing steps.
  std::vector<std::pair<void*, size_t>> blocks;
  for (size_t size = 0; size <= kMiB;
       size += size < kMaxSmall + 300 ? 1 + size / 1000 : 4999) {
    void* block = Allocate(size);
    ASSERT_NE(block, nullptr) << size;
    ASSERT_TRUE(IsAligned(block, kGranule)) << size;
    ASSERT_GE(UsableSize(block, "test"), size);
    Fill(block, UsableSize(block, "test"), static_cast<uint8_t>(size));
    blocks.emplace_back(block, size);
  }
  // All of each was written; so if two overlap, one has changed.
  for (const auto& [block, size] : blocks) {
    ASSERT_TRUE(
        IsFilled(block, UsableSize(block, "test"), static_cast<uint8_t>(size)))
        << size;
    FreeBlock(block);
  }
}

TEST_F(AllocatorTest, AnotherThreadFreesBySize) {
  for (size_t size : {1, 100, 1000, 4000}) {
    void* block = Allocate(size);
    std::thread([=] {
      FreeBlock(Allocate(size));
      FreeSized(block, size, "test");
    }).join();
    std::vector<void*> blocks = {Allocate(size)};
    while (blocks.back() != block && blocks.size() < 10000) {
      blocks.push_back(Allocate(size));
    }
    EXPECT_EQ(blocks.back(), block) << size;
    for (void* other : blocks) FreeBlock(other);
  }
}

TEST_F(AllocatorTest, IsBehindTheInterface) {
  AO_malloc_enable_mmap();
  void* block = AO_malloc(100);
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(UsableSize(block, "test"), ClassSize(ClassOf(100)));
  AO_free(block);
  EXPECT_EQ(AO_malloc(100), block);
  AO_free(block);
}

TEST_F(AllocatorTest, UsableSizeIsTheClass) {
  for (size_t size = 0; size <= kMaxSmall; size += 7) {
    void* block = Allocate(size);
    ASSERT_EQ(UsableSize(block, "test"), ClassSize(ClassOf(size)));
    FreeBlock(block);
  }
  EXPECT_EQ(UsableSize(nullptr, "test"), 0u);
}

TEST_F(AllocatorTest, WhatIsAllocatedIsCounted) {
  const Statistics before = Count();
  void* small = Allocate(1000);
  void* large = Allocate(100000);
  const Statistics after = Count();
  EXPECT_EQ(after.block_bytes, before.block_bytes + UsableSize(small, "test"));
  EXPECT_EQ(after.spans, before.spans + 1);
  EXPECT_EQ(after.span_bytes, before.span_bytes + UsableSize(large, "test"));
  EXPECT_GE(after.accessible, after.slab_bytes + after.span_bytes);
  FreeBlock(small);
  FreeBlock(large);
  EXPECT_EQ(Count().block_bytes, before.block_bytes);
  EXPECT_EQ(Count().span_bytes, before.span_bytes);
}

TEST_F(AllocatorTest, BigBlocksCanBeUsedFromEndToEnd) {
  for (size_t size :
       {2 * kMiB + 1, 65 * kMiB, size_t{1} << 30, size_t{3} << 30}) {
    auto* block = static_cast<char*>(Allocate(size));
    ASSERT_NE(block, nullptr) << size;
    block[0] = 1;
    block[size - 1] = 2;
    EXPECT_GE(UsableSize(block, "test"), size);
    FreeBlock(block);
  }
}

TEST_F(AllocatorTest, WhatNobodyHasIsRefused) {
  for (size_t size : {size_t{1} << 47, size_t{1} << 62, size_t{PTRDIFF_MAX} - 1,
                      size_t{PTRDIFF_MAX}, size_t{PTRDIFF_MAX} + 1,
                      SIZE_MAX - 65535, SIZE_MAX - 15, SIZE_MAX}) {
    errno = 0;
    EXPECT_EQ(Allocate(size), nullptr) << size;
    EXPECT_EQ(errno, ENOMEM);
    errno = 0;
    EXPECT_EQ(AllocateZeroed(size), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    errno = 0;
    EXPECT_EQ(AllocateAligned(4096, size), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    for (size_t old_size : {size_t{100}, kMiB}) {
      void* block = Allocate(old_size);
      Fill(block, old_size, 3);
      errno = 0;
      EXPECT_EQ(Reallocate(block, size, "test"), nullptr);
      EXPECT_EQ(errno, ENOMEM);
      EXPECT_TRUE(IsFilled(block, old_size, 3));
      FreeBlock(block);
    }
  }
  for (size_t alignment = size_t{1} << 48; alignment != 0; alignment *= 2) {
    EXPECT_EQ(AllocateAligned(alignment, 1), nullptr) << alignment;
  }
}

// A request that fails must not eat address space or slots for arenas.
// At once, and not after all heaps were asked for memory.
TEST_F(AllocatorTest, WhatNobodyCanHaveIsRefusedAtOnce) {
  void* block = Allocate(100);
  void* other = Allocate(10);
  const Heap* heap = thread::current;
  // Sent home when the thread ends.
  InThreads(1, [=](int) { FreeBlock(block); });
  ASSERT_TRUE(heap->HasRemote());
  for (size_t size : {size_t{PTRDIFF_MAX} + 1, SIZE_MAX}) {
    EXPECT_EQ(Allocate(size), nullptr);
    EXPECT_EQ(AllocateAlignedSlow(4096, size), nullptr);
    EXPECT_EQ(Reallocate(other, size, "test"), nullptr);
  }
  EXPECT_TRUE(heap->HasRemote()) << "it was drained";
  FreeBlock(other);
}

// A handler may have given the slab back since, and another thread has it.
TEST_F(AllocatorTest, ASlabThatIsNotOursAnyMoreIsLeftAlone) {
  void* block = Allocate(20000);
  auto* slab = memory::RunAt(block);
  Owner* owner = OwnerOf(slab);
  FreeBlock(block);
  Heap theirs;
  OnZeroSlow(slab);
  for (Owner* other :
       {static_cast<Owner*>(nullptr), static_cast<Owner*>(&theirs)}) {
    slab->owner = WordOf(other);
    const AO_t before = slab->owner;
    OnZeroSlow(slab);
    EXPECT_EQ(slab->owner, before);
  }
  slab->owner = WordOf(owner);
}

TEST_F(AllocatorTest, RefusalsLeaveNothingBehind) {
  int arenas = 0;
  while (memory::ArenaAt(arenas) != nullptr) ++arenas;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(Allocate(size_t{1} << 46), nullptr);
    EXPECT_EQ(AllocateAligned(size_t{1} << 46, 1), nullptr);
  }
  EXPECT_EQ(memory::ArenaAt(arenas + 1), nullptr);
  void* block = Allocate(100 * kMiB);
  EXPECT_NE(block, nullptr);
  FreeBlock(block);
}

TEST_F(AllocatorTest, AlignsUpToAGigabyte) {
  for (size_t alignment = 1; alignment <= size_t{1} << 30; alignment *= 2) {
    for (size_t size : {size_t{0}, size_t{1}, size_t{17}, size_t{1000},
                        size_t{4097}, size_t{32768}, size_t{70000}, kMiB}) {
      void* a = AllocateAligned(alignment, size);
      void* b = AllocateAligned(alignment, size);
      ASSERT_NE(a, nullptr) << alignment << " " << size;
      ASSERT_NE(b, nullptr);
      ASSERT_TRUE(IsAligned(a, alignment)) << alignment << " " << size;
      ASSERT_TRUE(IsAligned(b, alignment));
      Fill(a, size, 1);
      Fill(b, size, 2);
      ASSERT_TRUE(IsFilled(a, size, 1));
      FreeBlock(a);
      FreeBlock(b);
    }
  }
}

// GLib's slices are aligned to all of their size, from a page up.
TEST_F(AllocatorTest, BlocksThatAreAlignedToPagesShareAUnit) {
  constexpr size_t kBlocks = 128;
  for (size_t alignment : {size_t{8192}, size_t{16384}, kMaxSmall}) {
    const size_t before = memory::UsedBytes();
    std::vector<void*> blocks;
    for (size_t i = 0; i < kBlocks; ++i) {
      blocks.push_back(AllocateAligned(alignment, alignment));
      ASSERT_TRUE(IsAligned(blocks.back(), alignment));
      Fill(blocks.back(), alignment, static_cast<uint8_t>(i));
    }
    const size_t taken = memory::UsedBytes() - before;
    EXPECT_LE(taken, (kBlocks + 1) * alignment + memory::kMappedUnitBytes);
    for (size_t i = 0; i < kBlocks; ++i) {
      EXPECT_TRUE(IsFilled(blocks[i], alignment, static_cast<uint8_t>(i)));
      FreeAlignedSized(blocks[i], alignment, alignment, "test");
    }
  }
}

TEST_F(AllocatorTest, ZeroedBlocksAreZeroAfterDirtyUse) {
  for (size_t size : {size_t{1}, size_t{100}, size_t{5000}, size_t{32768},
                      size_t{32769}, size_t{200000}, 5 * kMiB}) {
    for (int round = 0; round < 20; ++round) {
      void* a = AllocateZeroed(size);
      void* b = Allocate(size);
      ASSERT_TRUE(IsZero(a, size)) << size;
      memset(a, 0xA5, UsableSize(a, "test"));
      memset(b, 0xA5, UsableSize(b, "test"));
      FreeBlock(b);
      FreeBlock(a);
    }
  }
}

TEST_F(AllocatorTest, ReallocationKeepsTheContents) {
  Random random(1);
  constexpr size_t kBlocks = 50;
  struct {
    void* block;
    size_t size;
  } blocks[kBlocks] = {};
  for (auto& b : blocks) b = {Allocate(1), 0};
  for (int i = 0; i < 20000; ++i) {
    const size_t index = random.Below(kBlocks);
    auto& b = blocks[index];
    const auto seed = static_cast<uint8_t>(index);
    const size_t size = 1 + random.SkewedBelow(i % 50 == 0 ? 4 * kMiB : 50000);
    b.block = Reallocate(b.block, size, "test");
    ASSERT_NE(b.block, nullptr);
    ASSERT_GE(UsableSize(b.block, "test"), size);
    const size_t kept = b.size < size ? b.size : size;
    ASSERT_TRUE(IsFilled(b.block, kept, seed)) << b.size << " to " << size;
    Fill(b.block, size, seed);
    b.size = size;
  }
  for (auto& b : blocks) FreeBlock(b.block);
}

// From 64 KiB to 512 MiB, with something behind it so that it cannot grow where
// it is; the bytes of the first round must survive every move.
TEST_F(AllocatorTest, ASpanGrowsFarAndShrinksBack) {
  size_t size = size_t{64} * 1024;
  void* block = Allocate(size);
  Fill(block, size, 9);
  size_t filled = size;
  std::vector<void*> obstacles;
  while (size < 512 * kMiB) {
    obstacles.push_back(Allocate(40000));
    size *= 2;
    block = Reallocate(block, size, "test");
    ASSERT_NE(block, nullptr) << size;
    ASSERT_TRUE(IsFilled(block, filled, 9)) << size;
    if (size <= 64 * kMiB) Fill(block, filled = size, 9);
    static_cast<char*>(block)[size - 1] = 1;
  }
  while (size > 100000) {
    size = size / 3;
    block = Reallocate(block, size, "test");
    ASSERT_NE(block, nullptr);
    if (filled > size) filled = size;
    // The last byte of what was filled may be one that was marked above.
    ASSERT_TRUE(IsFilled(block, filled - 1, 9)) << size;
  }
  FreeBlock(block);
  for (void* obstacle : obstacles) FreeBlock(obstacle);
}

// Where pages moved away something else is allocated now: it must be zero if it
// says so, and nothing may be left of the old block.
TEST_F(AllocatorTest, WhatMovedPagesLeaveBehindIsZero) {
  for (int i = 0; i < 10; ++i) {
    constexpr size_t kBytes = kMiB;
    void* block = Allocate(kBytes);
    memset(block, 0xA5, kBytes);
    void* obstacle = Allocate(40000);
    void* moved = Reallocate(block, 3 * kBytes, "test");
    void* zeroed = AllocateZeroed(kBytes);
    EXPECT_TRUE(IsZero(zeroed, kBytes));
    memset(zeroed, 0x5A, kBytes);
    EXPECT_EQ(static_cast<char*>(moved)[kBytes - 1], '\xA5');
    for (void* ptr : {moved, obstacle, zeroed}) FreeBlock(ptr);
  }
}

}  // namespace
}  // namespace aomalloc
