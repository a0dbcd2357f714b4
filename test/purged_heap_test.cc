// A heap purges the free pages of its slabs as memory grows or falls, or when
// it is told to.
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/arena/purge.h"
#include "core/base/os.h"
#include "core/heap/slab_pages.h"
#include "core/report/statistics.h"
#include "core/thread/thread.h"
#include "test/heaps.h"
#include "test/step.h"
#include "test/testing.h"
#include "test/warned.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own

constexpr size_t kBytes = memory::kMappedUnitBytes;
constexpr size_t kMiB = size_t{1} << 20;

size_t LeftOut(const Descriptor* slab) {
  return static_cast<size_t>(slab::LeftOut(slab));
}

// --- A heap by itself.

class PurgedHeapTest : public testing::Test {
 protected:
  void SetUp() override {
    memory::EnableMmap();
    heap_ = NewHeap();
  }

  void Hold(size_t size, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      auto* block = TakeFrom(heap_, size);
      Fill(block, size, static_cast<uint8_t>(size));
      held_.emplace_back(block, size);
    }
  }
  void Give(Block* block) { heap_->FreeSlowly(memory::RunAt(block), block); }
  // Of each so many blocks one survives.
  void Give(size_t share) {
    std::vector<std::pair<Block*, size_t>> left;
    for (size_t i = 0; i < held_.size(); ++i) {
      if (i % share == 0) {
        left.push_back(held_[i]);
      } else {
        Give(held_[i].first);
      }
    }
    held_ = left;
  }
  bool HeldIsIntact() const {
    for (auto [block, size] : held_) {
      if (!IsFilled(block, size, static_cast<uint8_t>(size))) return false;
    }
    return true;
  }
  bool AllIsValid() const {
    for (const Descriptor* slab : SlabsOf(heap_)) {
      if (!slab::IsValid(slab)) return false;
    }
    return heap_->IsValid();
  }
  size_t LeftOutBlocks() const {
    size_t count = 0;
    for (const Descriptor* slab : SlabsOf(heap_)) count += LeftOut(slab);
    return count;
  }
  // Those that are left out, too.
  size_t FreeBlocks() const {
    size_t count = 0;
    for (const Descriptor* slab : SlabsOf(heap_)) {
      count += static_cast<size_t>(slab->capacity - slab::InUse(slab));
    }
    return count;
  }
  size_t Resident() const {
    size_t resident = 0;
    for (const Descriptor* slab : SlabsOf(heap_)) {
      size_t bytes = 0;
      os::Resident(slab->base, kBytes, &bytes);
      resident += bytes;
    }
    return resident;
  }
  void GiveAllBack() {
    for (auto [block, size] : held_) Give(block);
    held_.clear();
    heap_->Trim();
    EXPECT_TRUE(SlabsOf(heap_).empty());
    EXPECT_TRUE(heap_->IsValid());
  }

  Heap* heap_ = nullptr;
  std::vector<std::pair<Block*, size_t>> held_;
};

TEST_F(PurgedHeapTest, FreePagesGoAndComeAgain) {
  for (size_t size : {size_t{64}, size_t{100}, size_t{500}, size_t{1000},
                      size_t{3000}, size_t{5000}, size_t{14000}}) {
    SCOPED_TRACE(size);
    const size_t count = 4 * kMiB / size;
    Hold(size, count);
    Give(2 * kBytes / size);
    const size_t slabs = SlabsOf(heap_).size();
    const size_t before = Resident();
    EXPECT_TRUE(heap_->PurgePages());
    EXPECT_TRUE(AllIsValid());
    EXPECT_TRUE(HeldIsIntact());
    EXPECT_LT(Resident(), before / 2);
    EXPECT_GT(LeftOutBlocks() * size, before / 2);
    // All that is there is used before there are more slabs.
    Hold(size, FreeBlocks());
    EXPECT_LE(SlabsOf(heap_).size(), slabs);
    EXPECT_EQ(LeftOutBlocks(), 0u);
    EXPECT_TRUE(AllIsValid());
    EXPECT_TRUE(HeldIsIntact());
    GiveAllBack();
  }
}

TEST_F(PurgedHeapTest, TheLastFreeGivesASlabBack) {
  Hold(1000, 640);
  Give(64);
  EXPECT_TRUE(heap_->PurgePages());
  GiveAllBack();
}

// Frees in a slab that malloc allocates from are fast again soon.
TEST_F(PurgedHeapTest, AHeadInUseIsCarvedAgain) {
  Hold(500, 10);
  while (slab::Carve(memory::RunAt(held_.back().first))) {
  }
  EXPECT_TRUE(heap_->PurgePages());
  Descriptor* head = memory::RunAt(held_.back().first);
  ASSERT_NE(head->purged_pages, 0);
  const auto is_fast = [&] { return slab::IsCarved(head, held_.back().first); };
  ASSERT_FALSE(is_fast());
  for (int i = 0; i < 1000 && !is_fast(); ++i) Give(TakeFrom(heap_, 500));
  EXPECT_TRUE(is_fast());
  EXPECT_TRUE(AllIsValid());
  GiveAllBack();
}

// While the heap grows elsewhere, idle slabs lose their free pages.
TEST_F(PurgedHeapTest, WhatLiesIdleIsPurgedAsTheHeapGrows) {
  Hold(1000, 8 * kMiB / 1024);
  Give(50);
  const size_t before = Resident();
  const size_t held = held_.size();
  Hold(3000, 16 * kMiB / 3072);
  EXPECT_TRUE(AllIsValid());
  size_t resident = 0;
  for (const Descriptor* slab : SlabsOf(heap_)) {
    if (slab::BlockSize(slab) != 1024) continue;
    size_t bytes = 0;
    os::Resident(slab->base, kBytes, &bytes);
    resident += bytes;
  }
  EXPECT_LT(resident, before / 2) << held;
  EXPECT_TRUE(HeldIsIntact());
  GiveAllBack();
}

// As if free memory had just been purged, since there was much of it.
void NotePurge() { StoreRelaxed(&purge::purged_ms, 1); }

// When much was given back, heads go as well, with their last block.
TEST_F(PurgedHeapTest, HeadsGoBackAsMemoryFalls) {
  constexpr size_t kSize = 30000;  // two in a slab
  std::vector<Block*> blocks;
  Hold(1000, 10);
  Block* const freed = TakeFrom(heap_, 2000);
  for (int i = 0; i < 600; ++i) blocks.push_back(TakeFrom(heap_, kSize));
  Give(freed);
  ASSERT_EQ(SlabsOf(heap_).size(), 302u);
  NotePurge();
  for (Block* block : blocks) Give(block);
  EXPECT_TRUE(AllIsValid());
  EXPECT_EQ(SlabsOf(heap_).size(), 1u);
  for (auto [block, size] : held_) Give(block);
  held_.clear();
  EXPECT_TRUE(SlabsOf(heap_).empty());
  EXPECT_FALSE(heap_->KeepsRuns());
  EXPECT_TRUE(heap_->IsValid());
}

// Idle slabs lose their free pages, unless that was in vain the last time.
TEST_F(PurgedHeapTest, WhatLiesIdleIsPurgedAsMemoryFalls) {
  constexpr size_t kSize = 30000;
  const size_t begun = os::CoarseMilliseconds();
  Hold(1000, 4 * kMiB / 1024);
  size_t left_out[2];
  for (size_t& count : left_out) {
    std::vector<Block*> blocks;
    for (int i = 0; i < 1400; ++i) blocks.push_back(TakeFrom(heap_, kSize));
    Give(50);
    NotePurge();
    for (Block* block : blocks) Give(block);
    EXPECT_TRUE(AllIsValid());
    EXPECT_TRUE(HeldIsIntact());
    count = LeftOutBlocks();
    Hold(1000, FreeBlocks());
  }
  EXPECT_GT(left_out[0], 1000u);
  if (os::CoarseMilliseconds() - begun < 900) {
    EXPECT_EQ(left_out[1], 0u);
  }
  GiveAllBack();
}

// A head with purged pages stays one, and is carved again.
TEST_F(PurgedHeapTest, AHeadIsCarvedAgainAfterAFall) {
  Hold(500, 10);
  Descriptor* head = memory::RunAt(held_.back().first);
  while (slab::Carve(head)) {
  }
  EXPECT_TRUE(heap_->PurgePages());
  std::vector<Block*> blocks;
  for (int i = 0; i < 300; ++i) blocks.push_back(TakeFrom(heap_, 30000));
  NotePurge();
  for (Block* block : blocks) Give(block);
  ASSERT_NE(head->purged_pages, 0);
  for (int i = 0; i < 1000; ++i) Give(TakeFrom(heap_, 500));
  EXPECT_EQ(head->purged_pages, 0);
  EXPECT_TRUE(AllIsValid());
  GiveAllBack();
}

// Though malloc takes a slab again each time that a head has gone.
TEST_F(PurgedHeapTest, AFallGoesOnBesideBlocksThatComeAndGo) {
  constexpr size_t kSize = 30000;
  Hold(1000, 4 * kMiB / 1024);
  std::vector<Block*> blocks;
  for (int i = 0; i < 4000; ++i) blocks.push_back(TakeFrom(heap_, kSize));
  Give(50);
  NotePurge();
  for (Block* block : blocks) {
    Give(block);
    for (size_t size : {2000, 3000}) Give(TakeFrom(heap_, size));
  }
  EXPECT_TRUE(AllIsValid());
  EXPECT_TRUE(HeldIsIntact());
  EXPECT_GT(LeftOutBlocks(), 1000u);
  GiveAllBack();
}

TEST_F(PurgedHeapTest, IsValidAfterEveryOperation) {
  Random random(11);
  for (int step = 0; step < 6000; ++step) {
    const size_t choice = random.Below(1000);
    if (choice < (step / 1500 % 2 == 0 ? 700u : 150u)) {
      Hold(16 + random.SkewedBelow(kMaxSmall - 16), 1);
    } else if (choice < 996 && !held_.empty()) {
      const size_t index = random.Below(held_.size());
      Give(held_[index].first);
      held_[index] = held_.back();
      held_.pop_back();
    } else if (choice == 996) {
      heap_->Repair();
    } else if (choice == 997) {
      heap_->Trim();
    } else {
      heap_->PurgePages();
    }
    ASSERT_TRUE(heap_->IsValid()) << step;
    if (step % 200 == 0) {
      ASSERT_TRUE(AllIsValid() && HeldIsIntact());
    }
  }
  ASSERT_TRUE(HeldIsIntact());
  GiveAllBack();
}

#if defined(__x86_64__)

// What the last free before heads are looked at may lose: a slab.
TEST_F(PurgedHeapTest, FallAbandonedAnywhere) {
  constexpr size_t kSize = 30000;
  int limit = 0;
  bool abandoned = true;
  while (abandoned) {
    heap_ = NewHeap();
    held_.clear();
    std::vector<Block*> blocks;
    for (size_t size : {1000, 2000, 3000}) Give(TakeFrom(heap_, size));
    Hold(4000, 1);
    for (int i = 0; i < 2 * 128; ++i) blocks.push_back(TakeFrom(heap_, kSize));
    NotePurge();
    for (size_t i = 1; i < blocks.size(); ++i) Give(blocks[i]);
    abandoned = Stepper::Abandon([&] { Give(blocks[0]); },
                                 limit += Stepper::kStride * 23);
    SCOPED_TRACE(testing::Message() << "after " << limit << " instructions");
    heap_->Repair();
    ASSERT_TRUE(AllIsValid());
    ASSERT_TRUE(HeldIsIntact());
    for (auto [block, size] : held_) Give(block);
    heap_->Trim();
    ASSERT_TRUE(AllIsValid());
    ASSERT_LE(SlabsOf(heap_).size(), 1u);
  }
}

// Of each slab whose pages were being purged the free blocks may be lost, but
// nothing else.
TEST_F(PurgedHeapTest, PurgeAbandonedAnywhere) {
  int limit = 0;
  bool abandoned = true;
  while (abandoned) {
    heap_ = NewHeap();
    held_.clear();
    Hold(3000, 60);
    Give(20);
    abandoned = Stepper::Abandon([&] { heap_->PurgePages(); },
                                 limit += Stepper::kStride * 131);
    SCOPED_TRACE(testing::Message() << "after " << limit << " instructions");
    heap_->Repair();
    ASSERT_TRUE(AllIsValid());
    ASSERT_TRUE(HeldIsIntact());
    Hold(3000, 60);
    ASSERT_TRUE(AllIsValid());
    ASSERT_TRUE(HeldIsIntact()) << "handed out twice";
    for (auto [block, size] : held_) Give(block);
    held_.clear();
    heap_->Trim();
    ASSERT_TRUE(AllIsValid());
    ASSERT_LE(SlabsOf(heap_).size(), 1u) << "more than one slab was lost";
  }
  EXPECT_GT(limit, 1000);
}

#endif

// --- Through the operations.

class FreePagesTest : public WarnedTest {
 protected:
  // Blocks of which few survive. Returns those that do not.
  std::vector<void*> LeaveFew(size_t size, size_t count) {
    std::vector<void*> all(count), freed;
    for (void*& block : all) block = Allocate(size);
    for (size_t i = 0; i < count; ++i) {
      if (i % 50 == 0) {
        Fill(all[i], size, static_cast<uint8_t>(i));
        live_.push_back(all[i]);
      } else {
        Free(all[i], "test");
        freed.push_back(all[i]);
      }
    }
    return freed;
  }
  void TearDown() override {
    for (void* block : live_) Free(block, "test");
    EXPECT_TRUE(HeapsAreValid());
    WarnedTest::TearDown();
  }

  std::vector<void*> live_;
};

TEST_F(FreePagesTest, ADoubleFreeThereIsReportedToAnyThread) {
  const std::vector<void*> freed = LeaveFew(1000, 2000);
  EXPECT_TRUE(Trim());
  size_t left_out = 0;
  for (void* block : freed) {
    const auto* run = memory::RunAt(block);
    if (run->kind != RunKind::kSlab || !slab::IsLeftOut(run, block)) continue;
    if (++left_out % 100 != 1) continue;
    const auto free_again = [=] { Free(block, "free"); };
    Contains(Said(free_again), "double free (1024-byte block, free, offset 0");
    std::string said;
    std::thread([&] { said = Said(free_again); }).join();
    Contains(said, "double free (1024-byte block, free, offset 0");
    Contains(Said([=] { UsableSize(block, "usable"); }), "use after free (");
    Contains(Said([=] { Reallocate(block, 10, "realloc"); }),
             "use after free (");
    Contains(Said([=] { Free(static_cast<char*>(block) + 16, "free"); }),
             "inside a block (");
  }
  EXPECT_GT(left_out, 500u);
  EXPECT_TRUE(HeapsAreValid());
  // The blocks that live are freed without a word, by any thread.
  EXPECT_EQ(Said([&] {
              std::thread([&] {
                for (size_t i = 0; i < live_.size() / 2; ++i) {
                  Free(live_.back(), "free");
                  live_.pop_back();
                }
              }).join();
              for (void* block : live_) Free(block, "free");
              live_.clear();
            }),
            "");
  EXPECT_TRUE(HeapsAreValid());
}

TEST_F(FreePagesTest, ReportsTellThemFromOtherFreeBlocks) {
  LeaveFew(1000, 2000);
  const Statistics before = Count();
  EXPECT_EQ(before.left_out, 0u);
  Trim();
  const Statistics after = Count();
  EXPECT_GT(after.left_out, kMiB);
  EXPECT_EQ(after.block_bytes, before.block_bytes);
  EXPECT_EQ(after.slab_bytes, after.block_bytes + after.free_block_bytes +
                                  after.left_out + after.uncarved +
                                  after.tails);
}

// Phases of sizes, of which some blocks survive two phases.
TEST_F(FreePagesTest, LittleIsResidentAfterPhasesAndATrim) {
  Trim();
  const size_t before = ResidentBytes();
  std::vector<void*> older, old;
  size_t live = 0;
  for (size_t size : {size_t{200}, size_t{400}, size_t{900}, size_t{300},
                      size_t{1500}, size_t{600}, size_t{2500}, size_t{700}}) {
    LeaveFew(size, 16 * kMiB / size);
    for (void* block : older) Free(block, "test");
    older = old;
    old = live_;
    live_.clear();
    live = (older.size() + old.size()) * size;
  }
  Trim();
  EXPECT_LT(ResidentBytes(), before + 12 * kMiB) << live << " bytes are live";
  for (const auto& blocks : {older, old}) {
    for (void* block : blocks) Free(block, "test");
  }
}

}  // namespace
}  // namespace aomalloc
