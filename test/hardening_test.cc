// What the hardened build finds that the plain one does not.
#include "core/base/hardening.h"

#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/base/os_memory.h"
#include "core/heap/hardened_blocks.h"
#include "core/profile/profile.h"
#include "test/child.h"
#include "test/heaps.h"
#include "test/step.h"
#include "test/testing.h"
#include "test/warned.h"

namespace aomalloc {
namespace {

static_assert(hardening::kOn);

class HardeningTest : public WarnedTest {
 protected:
  template <typename F>
  static void Says(F f, const char* text) {
    Contains(Said(f), text);
  }

  // Frees and allocates until what was freed before is used again.
  static void UseAll(size_t size) {
    for (int i = 0; i < 5000; ++i) Free(Allocate(size), "free");
    std::vector<void*> blocks;
    for (int i = 0; i < 5000; ++i) blocks.push_back(Allocate(size));
    for (void* block : blocks) Free(block, "free");
  }

  // What free does with a block of another heap.
  static void FreeByOther(Heap* other, Heap* heap, Block* block) {
    const auto* slab = memory::RunAt(block);
    hardened::Wipe(block, slab::BlockSize(slab));
    other->FreeForeign(heap, slab, block);
  }
};

TEST_F(HardeningTest, WritingBeyondTheEnd) {
  for (size_t size : {0, 1, 7, 8, 9, 24, 100, 1000, 30000}) {
    SCOPED_TRACE(size);
    for (size_t offset : {size_t{0}, size_t{7}}) {
      auto* block = static_cast<char*>(Allocate(size));
      memset(block, 0xff, size);
      EXPECT_EQ(UsableSize(block, "usable"), size);
      block[size + offset] ^= 4;
      Says([=] { Free(block, "free"); }, "): written to beyond its end (");
    }
    auto* block = static_cast<char*>(Allocate(size));
    block[size] ^= 1;
    Says([=] { Reallocate(block, size + 1, "realloc"); },
         "): written to beyond its end (");
  }
}

// A leaked value and its address lead to no second value. They did while the
// value was a bijection of the secret, which could be computed backwards.
TEST_F(HardeningTest, OneValueDoesNotGiveTheOthersAway) {
  char* known = static_cast<char*>(Allocate(100));
  const uintptr_t leaked = hardening::SecretFor(known);
  constexpr uintptr_t kFactor = 0x9E3779B97F4A7C15u;
  uintptr_t inverse = 1;
  for (int i = 0; i < 6; ++i) inverse *= 2 - kFactor * inverse;
  ASSERT_EQ(kFactor * inverse, 1u);
  const uintptr_t guess =
      reinterpret_cast<uintptr_t>(known) ^ (leaked ^ leaked >> 32) * inverse;
  for (char* other = known + 16; other < known + 4096; other += 16) {
    const uintptr_t product =
        (reinterpret_cast<uintptr_t>(other) ^ guess) * kFactor;
    EXPECT_NE(hardening::SecretFor(other), product ^ product >> 32);
    // Nor is the difference of two values that of their addresses.
    EXPECT_NE(hardening::SecretFor(other) ^ leaked,
              reinterpret_cast<uintptr_t>(other) ^
                  reinterpret_cast<uintptr_t>(known));
  }
}

TEST_F(HardeningTest, SizesGrowAndShrinkInPlace) {
  auto* block = static_cast<char*>(Allocate(1));
  for (size_t size = 1; size < 200000; size += 1 + size / 7) {
    block = static_cast<char*>(Reallocate(block, size, "realloc"));
    ASSERT_GE(UsableSize(block, "usable"), size);
    for (size_t i = 0; i < size / 2; ++i) ASSERT_EQ(block[i], 'x') << size;
    memset(block, 'x', size);
  }
  for (size_t size = 200000; size > 0; size -= 1 + size / 7) {
    block = static_cast<char*>(Reallocate(block, size, "realloc"));
    ASSERT_GE(UsableSize(block, "usable"), size);
    for (size_t i = 0; i < size && i < 180000; ++i) ASSERT_EQ(block[i], 'x');
  }
  Free(block, "free");
}

// Wherever it lands.
TEST_F(HardeningTest, WritingToAFreeBlock) {
  for (size_t offset : {0, 8, 16, 17, 95}) {
    SCOPED_TRACE(offset);
    Says(
        [=] {
          auto* block = static_cast<char*>(Allocate(96));
          Free(block, "free");
          block[offset] ^= 1;
          UseAll(96);
        },
        "): written to after it was freed (");
  }
}

TEST_F(HardeningTest, WritingToABlockOnItsWayHome) {
  for (int word : {0, 1}) {
    SCOPED_TRACE(word);
    Says(
        [=] {
          auto* heap = NewHeap();
          auto* other = NewHeap();
          std::vector<Block*> blocks;
          for (int i = 0; i < 8; ++i) blocks.push_back(TakeFrom(heap, 200));
          for (Block* block : blocks) FreeByOther(other, heap, block);
          reinterpret_cast<uintptr_t*>(blocks[5])[word] ^= 1;
          other->SendForeign();
          heap->Drain();
        },
        "): written to after it was freed (");
  }
}

// Which block leaves the quarantine is random: one in 256 leaves it with the
// next that comes.
TEST_F(HardeningTest, AFreeBlockIsNotUsedAgainAtOnce) {
  for (size_t size : {16, 500, 100000}) {
    int used_again = 0;
    for (int i = 0; i < 100; ++i) {
      void* block = Allocate(size);
      Free(block, "free");
      for (int rounds = 0; rounds < 4; ++rounds) {
        void* other = Allocate(size);
        Free(other, "free");
        if (other == block) {
          ++used_again;
          break;
        }
      }
    }
    EXPECT_LT(used_again, 20) << size;  // about 2 are to be expected
  }
}

TEST_F(HardeningTest, BlocksComeInDisorder) {
  std::vector<void*> blocks;
  for (int i = 0; i < 100; ++i) blocks.push_back(Allocate(200));
  EXPECT_FALSE(std::is_sorted(blocks.begin(), blocks.end()));
  EXPECT_FALSE(std::is_sorted(blocks.rbegin(), blocks.rend()));
  EXPECT_EQ(std::set<void*>(blocks.begin(), blocks.end()).size(), 100u);
}

// A store to `address` ends the process.
void ExpectGuard(const volatile char* address) {
  EXPECT_NE(
      StatusOfChild([=] { *const_cast<volatile char*>(address) = 1; }) & 0x7f,
      0);
}

TEST_F(HardeningTest, GuardsAreBehindSlabsAndLargeBlocks) {
  auto* block = static_cast<char*>(Allocate(100));
  const auto* slab = memory::RunAt(block);
  ASSERT_EQ(slab->units, 1u);
  ExpectGuard(slab->base + memory::kMappedUnitBytes);
  auto* large = static_cast<char*>(Allocate(100000));
  const size_t page = os::PageSize();
  ExpectGuard(large + (100000 + page - 1) / page * page);
  ExpectGuard(large + 131072);
  Free(large, "free");
  ExpectGuard(large);
  ExpectGuard(large + 131072);
}

// A large block that grows in small steps moves when it has grown by an eighth.
// Its guard is behind its last page at any time.
TEST_F(HardeningTest, ALargeBlockGrowsOnWhereItIs) {
  constexpr size_t kFirst = 100000;
  constexpr size_t kLast = size_t{4} << 20;
  const size_t page = os::PageSize();
  auto* block = static_cast<char*>(Allocate(kFirst));
  memset(block, 'x', kFirst);
  int moves = 0;
  for (size_t size = kFirst; size < kLast; size += 1000) {
    auto* now = static_cast<char*>(Reallocate(block, size, "realloc"));
    memset(now + size - 1000, 'x', 1000);
    if (now != block) ++moves;
    block = now;
    if (size % 300000 == kFirst)
      ExpectGuard(block + (size + page - 1) / page * page);
  }
  EXPECT_LE(moves, 40);
  for (size_t i = 0; i < kLast - 1000; i += 100) ASSERT_EQ(block[i], 'x');
  Free(block, "free");
  ExpectGuard(block);
  ExpectGuard(block + kLast - page);
}

// No size is so large that it seems small.
TEST_F(HardeningTest, ALargeBlockIsNotResizedToWhatWraps) {
  auto* block = static_cast<char*>(Allocate(100000));
  memset(block, 'x', 100000);
  for (size_t less : {0, 1, 4094, 4095, 4096, 100000}) {
    EXPECT_EQ(Reallocate(block, SIZE_MAX - less, "realloc"), nullptr) << less;
  }
  EXPECT_EQ(Reallocate(block, size_t{PTRDIFF_MAX} + 1, "realloc"), nullptr);
  EXPECT_EQ(Reallocate(block, PTRDIFF_MAX, "realloc"), nullptr);
  for (size_t i = 0; i < 100000; ++i) ASSERT_EQ(block[i], 'x');
  Free(block, "free");
}

// In small steps, too, it does not keep what is much too large for it.
TEST_F(HardeningTest, ALargeBlockThatShrinksMovesInTheEnd) {
  auto* block = static_cast<char*>(Allocate(size_t{1} << 20));
  for (size_t size = size_t{1} << 20; size > 40000; size = size * 3 / 5) {
    block = static_cast<char*>(Reallocate(block, size, "realloc"));
    EXPECT_LE(memory::BytesOf(memory::RunAt(block)), 2 * size + (128 << 10));
  }
  Free(block, "free");
}

// What it does not need any more is not resident, and guarded.
TEST_F(HardeningTest, ALargeBlockShrinksWhereItIs) {
  constexpr size_t kBytes = 60000;
  constexpr size_t kLess = 40000;
  const size_t page = os::PageSize();
  auto* block = static_cast<char*>(Allocate(kBytes));
  memset(block, 'x', kBytes);
  ASSERT_EQ(Reallocate(block, kLess, "realloc"), block);
  EXPECT_EQ(UsableSize(block, "usable"), (kLess + page - 1) / page * page);
  for (size_t i = 0; i < kLess; ++i) ASSERT_EQ(block[i], 'x');
  char* behind = block + (kLess + page - 1) / page * page;
  ExpectGuard(behind);
  ExpectGuard(block + kBytes - 1);
  unsigned char resident = 1;
  ASSERT_EQ(mincore(behind, page, &resident), 0);
  EXPECT_EQ(resident & 1, 0);
  ASSERT_EQ(Reallocate(block, kBytes, "realloc"), block);
  memset(block, 'y', kBytes);
  Free(block, "free");
}

// The guard of the descriptors.
TEST_F(HardeningTest, DescriptorsAreOutOfReach) {
  Allocate(100);
  Arena* const arena = memory::ArenaAt(1);
  ASSERT_NE(arena, nullptr);
  ExpectGuard(arena->AddressOf(arena->table()) - 1);
  ExpectGuard(arena->AddressOf(arena->table()) - os::PageSize());
}

TEST_F(HardeningTest, WhatIsFreedCanAllBeUsedAgain) {
  std::vector<void*> blocks;
  size_t peak = 0;
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 2000; ++i) blocks.push_back(Allocate(1 + i * 7 % 5000));
    for (int i = 0; i < 20; ++i) blocks.push_back(Allocate(100000));
    for (void* block : blocks) Free(block, "free");
    blocks.clear();
    Trim();
    if (round == 1) peak = memory::ArenaAt(1)->accessible_units();
  }
  EXPECT_EQ(memory::ArenaAt(1)->accessible_units(), peak);
  EXPECT_TRUE(HeapsAreValid());
}

TEST_F(HardeningTest, ReadsAsZero) {
  for (size_t size : {100, 40000}) {
    auto* block = static_cast<char*>(AllocateZeroed(size));
    for (size_t i = 0; i < size; ++i) ASSERT_EQ(block[i], 0);
    Free(block, "free");
  }
}

// A block that listed others on their way home is wiped again when it is there,
// also if somebody was abandoned while he listed or took one.
TEST_F(HardeningTest, BlocksThatWentHomeAreWiped) {
  auto* heap = NewHeap();
  auto* other = NewHeap();
  const auto use = [&] {
    std::vector<Block*> blocks;
    for (int i = 0; i < 300; ++i) blocks.push_back(TakeFrom(heap, 200));
    for (Block* block : blocks) {
      const auto* slab = memory::RunAt(block);
      EXPECT_TRUE(hardened::IsWiped(block, slab::BlockSize(slab)));
    }
    for (Block* block : blocks) FreeByOther(other, heap, block);
  };
  testing::internal::CaptureStderr();
  for (int round = 0; round < 10; ++round) {
    use();
    other->SendForeign();
    heap->Drain();
  }
#if defined(__x86_64__)
  int limit = 0;
  bool abandoned = true;
  while (abandoned) {
    limit += 29 * Stepper::kStride;
    std::vector<Block*> blocks;
    for (int i = 0; i < 8; ++i) {
      blocks.push_back(TakeFrom(heap, 200));
      hardened::Wipe(blocks[i], slab::BlockSize(memory::RunAt(blocks[i])));
    }
    abandoned = Stepper::Abandon(
        [&] {
          for (Block* block : blocks) {
            other->FreeForeign(heap, memory::RunAt(block), block);
          }
          other->SendForeign();
          heap->Drain();
        },
        limit);
    other->Repair();
    heap->Repair();
    other->SendForeign();
    heap->Drain();
    use();
    other->SendForeign();
    heap->Drain();
  }
  EXPECT_GT(limit, 100);
#endif
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(HardeningTest, AlignedBlocksAndTheirSizes) {
  for (size_t alignment = 16; alignment <= 65536; alignment *= 2) {
    for (size_t size : {1, 100, 5000, 40000, 65536}) {
      void* block = AllocateAligned(alignment, size);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % alignment, 0u);
      memset(block, 1, size);
      FreeAlignedSized(block, alignment, size, "free");
    }
  }
  Says([] { FreeSized(Allocate(100), 1000, "free"); }, "freed as 1000 bytes");
}

// Calls of every kind, each with a size that is right, from two threads.
void UseInAllWays() {
  constexpr size_t kBlocks = size_t{3} * kNumClasses;
  const auto size_at = [](size_t i) {
    return i % 7 == 0 ? 40000 + i : ClassSize(i % kNumClasses) - i % 16;
  };
  std::vector<char*> blocks(kBlocks);
  for (size_t i = 0; i < kBlocks; ++i) {
    const size_t size = size_at(i);
    blocks[i] =
        static_cast<char*>(i % 2 == 0 ? Allocate(size) : AllocateZeroed(size));
    EXPECT_GE(UsableSize(blocks[i], "usable"), size);
    EXPECT_TRUE(i % 2 == 0 || IsZero(blocks[i], size)) << size;
    Fill(blocks[i], size, static_cast<uint8_t>(i));
  }
  const auto resize_and_free = [&](size_t first) {
    for (size_t i = first; i < kBlocks; i += 2) {
      const size_t size = size_at(i);
      const size_t resized = size_at(i + 1);
      void* block = Reallocate(blocks[i], resized, "realloc");
      EXPECT_TRUE(
          IsFilled(block, std::min(size, resized), static_cast<uint8_t>(i)));
      FreeSized(block, resized, "free_sized");
      FreeAlignedSized(AllocateAligned(64, size + 1), 64, size + 1,
                       "free_aligned_sized");
    }
  };
  resize_and_free(0);
  std::thread([&] { resize_and_free(1); }).join();
}

// With a profile some blocks are spans, which end in no canary. Right use of
// them, with their sizes told, is no misuse; wrong use is.
TEST_F(HardeningTest, SamplesAreBlocksLikeOthers) {
  for (size_t mean : {1, 4096, 512 << 10}) {
    SCOPED_TRACE(mean);
    InChild([&] {
      ASSERT_EQ(profile::Start(mean, nullptr), nullptr);
      EXPECT_EQ(Said([] {
                  for (int i = 0; i < 20; ++i) UseInAllWays();
                }),
                "");
      EXPECT_GT(profile::Total().allocated, 0u);
      EXPECT_TRUE(HeapsAreValid());
      for (size_t size : {100, 40000}) {
        void* block = Allocate(size);
        Free(block, "free");
        Says([=] { Free(block, "free"); }, "): double free (");
        Says([=] { Free(static_cast<char*>(Allocate(size)) + 16, "free"); },
             "): inside a block (");
      }
    });
  }
}

}  // namespace
}  // namespace aomalloc
