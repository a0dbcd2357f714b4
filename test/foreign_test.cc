// Blocks that another heap's thread frees: kept to be allocated again, or sent
// home by the batch.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "core/arena/memory.h"
#include "core/heap/heap.h"
#include "test/heaps.h"
#include "test/step.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

class ForeignTest : public testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    memory::EnableMmap();
    Renew();
  }
  // Heaps never die.
  void Renew() {
    owner_ = NewHeap();
    other_ = NewHeap();
  }

  std::vector<Block*> TakeMany(size_t size, size_t count) {
    std::vector<Block*> blocks;
    while (blocks.size() < count) {
      blocks.push_back(TakeFrom(owner_, size));
      Fill(blocks.back(), size, 0x5a);
    }
    return blocks;
  }
  void FreeByOther(Block* block) {
    other_->FreeForeign(owner_, memory::RunAt(block), block);
  }
  size_t SlabsOfOwner() const { return SlabsOf(owner_).size(); }
  bool AllIsValid() const { return owner_->IsValid() && other_->IsValid(); }

  Heap* owner_ = nullptr;
  Heap* other_ = nullptr;
};

TEST_P(ForeignTest, AllComeHomeByTheBatch) {
  const size_t size = GetParam();
  const std::vector<Block*> blocks = TakeMany(size, 1000);
  FreeByOther(blocks[0]);
  if (size < Outbox::kMaxBytes) {
    EXPECT_FALSE(owner_->HasRemote()) << "sent singly";
  }
  for (size_t i = 1; i < blocks.size(); ++i) {
    FreeByOther(blocks[i]);
    if (i + 1 == Outbox::kMaxBlocks) {
      EXPECT_TRUE(owner_->HasRemote()) << "too many were held back";
    }
    ASSERT_TRUE(AllIsValid());
  }
  other_->Trim();
  owner_->Drain();
  owner_->Trim();
  EXPECT_EQ(SlabsOfOwner(), 0u) << "some did not come home";
  EXPECT_TRUE(AllIsValid());
}

TEST_P(ForeignTest, AreAllocatedAgainByWhoNeedsThem) {
  const size_t size = GetParam();
  std::vector<Block*> blocks = TakeMany(size, 600);
  std::set<Block*> foreign(blocks.begin(), blocks.end());
  // Who has run out of blocks may keep some.
  size_t again = 0;
  std::vector<Block*> own;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 200; ++i) own.push_back(TakeFrom(other_, size));
    for (int i = 0; i < 200; ++i) {
      FreeByOther(blocks.back());
      blocks.pop_back();
    }
    ASSERT_TRUE(AllIsValid());
  }
  for (int i = 0; i < 300; ++i) {
    own.push_back(TakeFrom(other_, size));
    Fill(own.back(), size, 0x77);
    again += foreign.count(own.back());
  }
  const bool shares_lines = size % 64 != 0 && size < 256;
  if (shares_lines) {
    EXPECT_EQ(again, 0u) << "two threads get parts of one cache line";
  } else if (size <= 1024) {
    EXPECT_GT(again, 0u) << "none was kept";
  }
  EXPECT_LE(again * size, size_t{64} << 10) << "too many were kept";
  EXPECT_EQ(std::set<Block*>(own.begin(), own.end()).size(), own.size());
  for (Block* block : own) {
    if (foreign.count(block) != 0) {
      FreeByOther(block);
    } else {
      other_->Free(memory::RunAt(block), block);
    }
  }
  other_->Trim();
  owner_->Drain();
  owner_->Trim();
  EXPECT_EQ(SlabsOfOwner(), 0u);
  EXPECT_TRUE(AllIsValid());
}

INSTANTIATE_TEST_SUITE_P(Sizes, ForeignTest,
                         testing::Values(16, 32, 48, 64, 128, 144, 256, 1024,
                                         4096, 20000, 32768));

TEST_F(ForeignTest, OwnersDoNotMix) {
  constexpr int kOwners = 20;  // more than an outbox has lanes
  Heap* owners[kOwners];
  for (Heap*& heap : owners) heap = NewHeap();
  Random random(5);
  std::vector<std::pair<Heap*, Block*>> held;
  for (int i = 0; i < 5000; ++i) {
    Heap* heap = owners[random.Below(kOwners)];
    held.emplace_back(heap, TakeFrom(heap, 16 + random.SkewedBelow(5000)));
  }
  for (auto [heap, block] : held) {
    other_->FreeForeign(heap, memory::RunAt(block), block);
  }
  other_->Trim();
  for (Heap* heap : owners) {
    owner_ = heap;
    heap->Drain();
    heap->Trim();
    EXPECT_EQ(SlabsOfOwner(), 0u);
  }
}

// They come before the heap's own slabs, be there one with free blocks behind
// the head.
TEST_F(ForeignTest, KeptBlocksComeBeforeTheNextSlab) {
  constexpr size_t kSize = 1024;
  std::vector<Block*> own{TakeFrom(other_, kSize)};
  const size_t capacity = memory::RunAt(own[0])->capacity;
  while (own.size() < 2 * capacity) own.push_back(TakeFrom(other_, kSize));
  for (size_t i = 0; i < capacity / 2; ++i) {
    other_->Free(memory::RunAt(own[i]), own[i]);
  }
  Block* block = TakeMany(kSize, 1)[0];
  FreeByOther(block);
  ASSERT_FALSE(owner_->HasRemote()) << "it is not kept";
  EXPECT_EQ(TakeFrom(other_, kSize), block);
  EXPECT_TRUE(AllIsValid());
}

TEST_F(ForeignTest, DamageIsSeen) {
  constexpr size_t kSize = 1024;
  TakeFrom(other_, kSize);
  Block* block = TakeMany(kSize, 1)[0];
  FreeByOther(block);
  ASSERT_FALSE(owner_->HasRemote());
  auto* slab = memory::RunAt(block);
  EXPECT_TRUE(other_->IsValid());
  ++slab->size_class;
  EXPECT_FALSE(other_->IsValid());
  --slab->size_class;
  EXPECT_TRUE(other_->IsValid());
}

#if defined(__x86_64__)

// A free, a batch that is sent, an allocation of a kept block, each abandoned
// at each instruction: nothing is handed out twice, and what is lost is the
// block in hand or, in the middle of Send, what was being sent.
TEST_F(ForeignTest, AbandonedAnywhere) {
  constexpr size_t kSize = 1000;
  for (const bool keeps : {false, true}) {
    int limit = 0;
    bool abandoned = true;
    while (abandoned) {
      SCOPED_TRACE(testing::Message() << "after " << limit << " instructions");
      Renew();
      if (keeps) TakeFrom(other_, kSize);
      const std::vector<Block*> blocks = TakeMany(kSize, 40);
      for (size_t i = 0; i < 15; ++i) FreeByOther(blocks[i]);
      Block* taken = nullptr;
      abandoned = Stepper::Abandon(
          [&] {
            FreeByOther(blocks[15]);
            FreeByOther(blocks[16]);
            taken = TakeFrom(other_, kSize);
            owner_->Drain();
          },
          limit += 11 * Stepper::kStride);
      other_->Repair();
      owner_->Repair();
      ASSERT_TRUE(AllIsValid());
      for (size_t i = 17; i < blocks.size(); ++i) {
        ASSERT_TRUE(IsFilled(blocks[i], kSize, 0x5a));
        FreeByOther(blocks[i]);
      }
      other_->Trim();
      owner_->Drain();
      std::set<Block*> again;
      for (int i = 0; i < 60; ++i) {
        Block* block = TakeFrom(owner_, kSize);
        ASSERT_NE(block, taken) << "handed out twice";
        ASSERT_TRUE(again.insert(block).second) << "handed out twice";
      }
      for (Block* block : again) {
        owner_->Free(memory::RunAt(block), block);
      }
      owner_->Trim();
      ASSERT_TRUE(AllIsValid());
      // 65 blocks a slab.
      ASSERT_LE(SlabsOfOwner(), 2u);
    }
    EXPECT_GT(limit, 100);
  }
}

#endif

}  // namespace
}  // namespace aomalloc
