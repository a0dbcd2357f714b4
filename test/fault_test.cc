// What is said of each kind of misuse, and that the heap is unharmed where the
// program is let go on.
#include <errno.h>
#include <gtest/gtest.h>
#include <link.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/base/line.h"
#include "test/heaps.h"
#include "test/warned.h"

namespace aomalloc {
namespace {

class FaultTest : public WarnedTest {
 protected:
  static std::string SaidOfFree(void* ptr) {
    return Said([=] { Free(ptr, "free"); });
  }
};

TEST_F(FaultTest, BlocksOfSlabs) {
  auto* block = static_cast<char*>(Allocate(100));
  Contains(SaidOfFree(block + 16), "inside a block (");
  Contains(SaidOfFree(block + 16),
           "-byte block, live, offset 16, in the heap ");
  const auto* slab = memory::RunAt(block);
  Contains(SaidOfFree(slab->base + slab::BlockSize(slab) * slab->capacity - 8),
           "not a live block (");
  Contains(SaidOfFree(slab->base + slab::BlockSize(slab) * slab->capacity - 8),
           "never handed out");
  Free(block, "free");
  Contains(SaidOfFree(block), "double free (");
  Contains(SaidOfFree(block), "-byte block, free, offset 0, in the heap of ");
  EXPECT_TRUE(HeapsAreValid());
}

// In a slab: blocks that were not carved yet, and what is left over behind the
// last one; freed by the slab's owner, and by another thread.
TEST_F(FaultTest, PlacesOfASlabThatWereNeverHandedOut) {
  constexpr size_t kSize = 48;
  for (int i = 0; i < 10; ++i) Allocate(kSize);  // a few come of other slabs
  const auto* slab = memory::RunAt(Allocate(kSize));
  ASSERT_EQ(slab::BlockSize(slab), kSize);
  ASSERT_LT(slab->carved, slab->capacity);
  for (const int index : {slab->carved + 0, slab->carved + 5,
                          slab->capacity - 1, slab->capacity + 0}) {
    char* place = slab->base + static_cast<size_t>(index) * kSize;
    ASSERT_EQ(memory::RunAt(place), slab) << index;
    Contains(SaidOfFree(place), "not a live block (48-byte block, never");
    std::string said;
    std::thread([&] { said = SaidOfFree(place); }).join();
    Contains(said, "not a live block (48-byte block, never");
    EXPECT_EQ(UsableSize(place, "usable"), 0u);
  }
  for (int i = 0; i < 2000; ++i) {
    auto* block = static_cast<char*>(Allocate(kSize));
    const auto* of = memory::RunAt(block);
    ASSERT_LE(block + kSize, of->base + memory::BytesOf(of));
  }
  EXPECT_TRUE(HeapsAreValid());
}

TEST_F(FaultTest, WhoseHeapItIs) {
  auto* heap = NewHeap();
  Block* block = TakeFrom(heap, 100);
  auto said = [=] { return SaidOfFree(reinterpret_cast<char*>(block) + 1); };
  Contains(said(), "in the heap of no thread)");
  heap->holder = AO_t{1} << 40;
  Contains(said(), "in the heap of a thread)");
  heap->holder = (AO_t{1} << 40) + 1234;
  Contains(said(), "in the heap of thread 1234)");
}

TEST_F(FaultTest, LargeBlocks) {
  auto* block = static_cast<char*>(Allocate(300000));
  Contains(SaidOfFree(block + 16),
           "inside a block (303104-byte large block, live, offset 16)");
  Contains(SaidOfFree(block + 200000), "live, offset 200000)");
  Free(block, "free");
  EXPECT_EQ(SaidOfFree(block),
            "aomalloc: free(0x): double free (free memory of the heap)\n");
  Contains(SaidOfFree(block + 65536), "not a live block (free memory");
}

TEST_F(FaultTest, WhatIsNoBlockAtAll) {
  int local = 0;
  EXPECT_EQ(SaidOfFree(&local),
            "aomalloc: free(0x): not a block of this allocator (outside of the "
            "heap)\n");
  const memory::Grant taken = memory::Take({65536, 4096, 1});
  taken.run->kind = RunKind::kOwn;
  Contains(SaidOfFree(taken.address()),
           "not a live block (the allocator's own memory)");
  // Somebody has just taken the first unit of an arena, and not said what for.
  auto* first = memory::ArenaOfRun(taken.run)->table();
  const RunKind kind = first->kind;
  first->kind = RunKind::kFree;
  Contains(SaidOfFree(first->base + 16),
           "not a live block (free memory of the heap)");
  first->kind = kind;
}

TEST_F(FaultTest, Sizes) {
  void* block = Allocate(1000);
  Contains(Said([=] { FreeSized(block, 5000, "free_sized"); }),
           "aomalloc: free_sized(0x): freed as 5000 bytes (");
  EXPECT_EQ(SaidOfFree(block), "") << "it was let be";
}

TEST_F(FaultTest, WhatWasABatchOnceIsNoneForever) {
  auto* heap = NewHeap();
  auto* other = NewHeap();
  Block* block = TakeFrom(heap, 100);
  other->FreeForeign(heap, memory::RunAt(block), block);
  other->SendForeign();
  heap->Drain();
  ASSERT_EQ(TakeFrom(heap, 100), block);
  // Its first word is as it was; and a program's data in the second.
  block->LinkTo(reinterpret_cast<Block*>(0x123456789000));
  EXPECT_TRUE(block->BearsWitness());
  EXPECT_FALSE(slab::IsFree(memory::RunAt(block), block));
}

// When the heap is repaired, a block that was written to is no way to others.
TEST_F(FaultTest, WrittenToBeforeARepair) {
  auto* heap = NewHeap();
  std::vector<Block*> blocks;
  for (int i = 0; i < 10; ++i) blocks.push_back(TakeFrom(heap, 100));
  auto* slab = memory::RunAt(blocks[0]);
  for (Block* block : blocks) heap->Free(slab, block);
  memset(blocks[5], 0x55, 16);
  EXPECT_EQ(slab::CountFree(slab), 4u);
  Contains(Said([&] {
             for (int i = 0; i < 10; ++i) TakeFrom(heap, 100);
           }),
           "aomalloc: malloc(0x): written to after it was freed (");
  EXPECT_TRUE(heap->IsValid());
}

TEST_F(FaultTest, WhatIsNotLiveIsNotResized) {
  void* block = Allocate(1000);
  Free(block, "free");
  Contains(Said([=] {
             errno = 0;
             EXPECT_EQ(Reallocate(block, 10, "realloc"), nullptr);
             EXPECT_EQ(errno, EINVAL);
             EXPECT_EQ(UsableSize(block, "usable"), 0u);
           }),
           "aomalloc: realloc(0x): use after free (");
}

TEST_F(FaultTest, IgnoringIsSilent) {
  SetOnMisuse(OnMisuse::kIgnore);
  char local[64] = {};
  void* block = Allocate(1000);
  EXPECT_EQ(SaidOfFree(local), "");
  EXPECT_EQ(Said([=] { FreeSized(block, 5000, "free_sized"); }), "");
}

TEST_F(FaultTest, TheLoadersMemory) {
  for (link_map* map = _r_debug.r_map; map != nullptr; map = map->l_next) {
    EXPECT_EQ(SaidOfFree(map), "");
  }
}

// What is on a list behind a block that was written to is lost, and nothing
// else happens.
TEST_F(FaultTest, WrittenToAfterFree) {
  auto* heap = NewHeap();
  std::vector<Block*> blocks;
  for (int i = 0; i < 10; ++i) blocks.push_back(TakeFrom(heap, 100));
  for (Block* block : blocks) {
    heap->Free(memory::RunAt(block), block);
  }
  reinterpret_cast<void**>(blocks[9])[1] = blocks[0];
  const std::string said = Said([&] {
    for (int i = 0; i < 100; ++i) EXPECT_NE(TakeFrom(heap, 100), nullptr);
  });
  Contains(said, "aomalloc: malloc(0x): written to after it was freed (");
  EXPECT_TRUE(heap->IsValid());
}

TEST_F(FaultTest, WrittenToOnItsWayHome) {
  for (int which : {0, 1, 2}) {
    auto* heap = NewHeap();
    auto* other = NewHeap();
    std::vector<Block*> blocks;
    for (int i = 0; i < 10; ++i) blocks.push_back(TakeFrom(heap, 100));
    for (Block* block : blocks) {
      other->FreeForeign(heap, memory::RunAt(block), block);
    }
    other->SendForeign();
    // The count of the batch, its link, and what it lists.
    auto* words = reinterpret_cast<void**>(blocks[0]);
    words[which == 2 ? 3 : which] = &words;
    Contains(Said([&] { heap->Drain(); }),
             "aomalloc: free(0x): written to after it was freed (");
    EXPECT_TRUE(heap->IsValid());
  }
}

// What has been written to while it was the first of an outbox lists no more;
// of a block that is listed nobody needs what it has.
TEST_F(FaultTest, WrittenToBeforeItIsSent) {
  for (int which : {0, 1}) {
    auto* heap = NewHeap();
    auto* other = NewHeap();
    std::vector<Block*> blocks;
    for (int i = 0; i < 10; ++i) {
      blocks.push_back(TakeFrom(heap, 100));
      other->FreeForeign(heap, memory::RunAt(blocks[i]), blocks[i]);
      if (i == 3) memset(blocks[which], 0x55, 16);
    }
    other->SendForeign();
    const std::string said = Said([&] { heap->Drain(); });
    if (which == 0) {
      Contains(said, "aomalloc: free(0x): written to after it was freed (");
    } else {
      EXPECT_EQ(said, "");
    }
    EXPECT_TRUE(heap->IsValid());
  }
}

// From the free until it is handed out again, wherever it waits.
TEST_F(FaultTest, WhatIsFreeIsSealed) {
  auto* heap = NewHeap();
  auto* other = NewHeap();
  // More than a raid keeps.
  constexpr int kBlocks = 60;
  std::vector<Block*> blocks;
  for (int i = 0; i < kBlocks; ++i) blocks.push_back(TakeFrom(heap, 100));
  const auto* run = memory::RunAt(blocks[0]);
  const auto sealed = [&] {
    return std::count_if(
        blocks.begin(), blocks.end(),
        [run](const Block* block) { return slab::IsFree(run, block); });
  };
  EXPECT_EQ(sealed(), 0);
  for (Block* block : blocks) other->FreeForeign(heap, run, block);
  EXPECT_EQ(sealed(), kBlocks) << "in the outbox";
  other->SendForeign();
  EXPECT_EQ(sealed(), kBlocks) << "in the inbox";
  other->Raid(heap);
  EXPECT_EQ(sealed(), kBlocks) << "raided";
  other->SendForeign();
  heap->Drain();
  EXPECT_EQ(sealed(), kBlocks) << "at home";
  for (int i = 0; i < kBlocks; ++i) TakeFrom(heap, 100);
  EXPECT_EQ(sealed(), 0) << "handed out";
}

TEST_F(FaultTest, WrittenToWhileKept) {
  auto* heap = NewHeap();
  auto* other = NewHeap();
  std::vector<Block*> blocks;
  for (int i = 0; i < 4; ++i) blocks.push_back(TakeFrom(heap, 1024));
  for (int i = 0; i < 100; ++i) TakeFrom(other, 1024);
  for (Block* block : blocks) {
    other->FreeForeign(heap, memory::RunAt(block), block);
  }
  reinterpret_cast<void**>(blocks[3])[1] = nullptr;
  Contains(Said([&] { other->SendForeign(); }),
           "aomalloc: malloc(0x): written to after it was freed (");
  EXPECT_TRUE(other->IsValid());
}

}  // namespace
}  // namespace aomalloc
