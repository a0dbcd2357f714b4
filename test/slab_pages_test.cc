// Free pages inside of slabs go back to the system, and are carved again.
#include "core/heap/slab_pages.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "core/allocator.h"
#include "core/arena/purge.h"
#include "core/base/os.h"
#include "core/report/statistics.h"
#include "core/thread/thread.h"
#include "test/heaps.h"
#include "test/step.h"
#include "test/testing.h"
#include "test/warned.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own
using slab::kPageBytes;
using slab::Pages;

constexpr size_t kBytes = memory::kMappedUnitBytes;
constexpr size_t kMiB = size_t{1} << 20;
alignas(kPageBytes) char memory_of_slab[kBytes];

size_t LeftOut(const Descriptor* slab) {
  return static_cast<size_t>(slab::LeftOut(slab));
}

// --- One slab by itself.

class SlabPagesTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { Begin(); }
  void Begin() {
    slab_.base = memory_of_slab;
    slab::Init(&slab_, kBytes, static_cast<SizeClass>(GetParam()));
    slab_.kind = RunKind::kSlab;
    live_.clear();
  }
  size_t size() const { return ClassSize(GetParam()); }

  Block* Take() {
    if (slab_.list.free == nullptr && !slab::Carve(&slab_) &&
        !slab::CarvePage(&slab_)) {
      return nullptr;
    }
    return slab::Pop(&slab_.list);
  }
  void TakeAll() {
    while (Block* block = Take()) live_.insert(block);
  }
  // Frees all but some, in another order than they were taken in. What stays is
  // filled.
  void FreeAllBut(size_t share, uint64_t seed) {
    Random random(seed);
    std::vector<Block*> freed;
    for (Block* block : live_) {
      if (random.Below(share) != 0) freed.push_back(block);
    }
    for (size_t i = freed.size(); i > 1; --i) {
      std::swap(freed[i - 1], freed[random.Below(i)]);
    }
    for (Block* block : freed) {
      slab::Push(&slab_.list, block);
      live_.erase(block);
    }
    for (Block* block : live_) Fill(block, size(), SeedOf(block));
  }
  static uint8_t SeedOf(const Block* block) {
    return static_cast<uint8_t>(reinterpret_cast<uintptr_t>(block) >> 4);
  }
  bool LiveIsIntact() const {
    for (const Block* block : live_) {
      if (!IsFilled(block, size(), SeedOf(block))) return false;
    }
    return true;
  }
  // The pages that no live block overlaps, as far as all of them is carved.
  Pages PagesWithoutLife() const {
    uint32_t pages = 0;
    for (size_t page = 0; page < slab::kMostPages; ++page) {
      const char* begin = memory_of_slab + page * kPageBytes;
      bool is_free = begin < memory_of_slab + slab_.capacity * size();
      for (const Block* block : live_) {
        const auto* start = reinterpret_cast<const char*>(block);
        is_free &= start >= begin + kPageBytes || start + size() <= begin;
      }
      pages |= uint32_t{is_free} << page;
    }
    return static_cast<Pages>(pages);
  }
  // As a purge does, and worse: there may be anything afterwards.
  static void Destroy(Pages pages, int with) {
    for (size_t page = 0; page < slab::kMostPages; ++page) {
      if ((pages >> page & 1) == 0) continue;
      memset(memory_of_slab + page * kPageBytes, with, kPageBytes);
    }
  }
  // Every block that is not live is handed out, once. Returns how many.
  size_t TakeTheRest() {
    std::set<Block*> taken;
    while (Block* block = Take()) {
      EXPECT_TRUE(taken.insert(block).second) << "twice";
      EXPECT_EQ(live_.count(block), 0u) << "it is in use";
      memset(static_cast<void*>(block), 0xee, size());
    }
    EXPECT_TRUE(LiveIsIntact());
    return taken.size();
  }

  Descriptor slab_{};
  std::set<Block*> live_;
};

TEST_P(SlabPagesTest, PagesAreFreeWhereNoBlockIsInUse) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Begin();
    TakeAll();
    EXPECT_EQ(slab::FreePages(&slab_), 0);
    FreeAllBut(1 + seed * slab_.capacity / 20, seed);
    const Pages pages = slab::FreePages(&slab_);
    ASSERT_EQ(pages, PagesWithoutLife()) << seed;
    slab::LeaveOut(&slab_, pages);
    ASSERT_TRUE(slab::IsValid(&slab_));
    Destroy(pages, static_cast<int>(seed % 2) * 0xff);
    ASSERT_TRUE(slab::IsValid(&slab_));
    ASSERT_EQ(slab::FreePages(&slab_), pages) << "they are free still";
    ASSERT_EQ(static_cast<size_t>(slab::InUse(&slab_)), live_.size());
    ASSERT_EQ(slab::CountFree(&slab_), static_cast<size_t>(slab::Free(&slab_)));
    ASSERT_EQ(slab::CountFree(&slab_) + LeftOut(&slab_) + live_.size(),
              slab_.capacity);
    ASSERT_EQ(TakeTheRest(), slab_.capacity - live_.size());
    ASSERT_TRUE(slab::IsValid(&slab_));
    ASSERT_EQ(slab_.purged_pages, 0);
  }
}

// More and more becomes free, and some of it is used again in between.
TEST_P(SlabPagesTest, PagesComeAndGo) {
  Random random(static_cast<uint64_t>(GetParam()));
  TakeAll();
  for (uint64_t round = 1; round <= 60; ++round) {
    FreeAllBut(2 + random.Below(6), round);
    const Pages pages = slab::FreePages(&slab_);
    ASSERT_EQ(pages, PagesWithoutLife());
    slab::LeaveOut(&slab_, pages);
    Destroy(pages, 0);
    ASSERT_TRUE(slab::IsValid(&slab_));
    for (size_t count = random.Below(slab_.capacity + 1); count > 0; --count) {
      Block* block = Take();
      if (block == nullptr) break;
      ASSERT_TRUE(live_.insert(block).second);
      Fill(block, size(), SeedOf(block));
      ASSERT_TRUE(slab::IsBlock(&slab_, block));
    }
    ASSERT_TRUE(slab::IsValid(&slab_));
    ASSERT_TRUE(LiveIsIntact());
  }
}

// What is not carved yet is not free, and is carved as ever.
TEST_P(SlabPagesTest, WhatWasNeverUsedStays) {
  for (int carves = 1; carves <= 4; ++carves) {
    Begin();
    for (int i = 0; i < carves; ++i) slab::Carve(&slab_);
    const size_t carved = slab_.carved;
    const Pages pages = slab::FreePages(&slab_);
    const size_t bytes = carved * size();
    for (size_t page = 0; page < slab::kMostPages; ++page) {
      const bool all_is_carved =
          (page + 1) * kPageBytes <= bytes ||
          (carved == slab_.capacity && page * kPageBytes < bytes);
      ASSERT_EQ((pages >> page & 1) != 0, all_is_carved) << page;
    }
    slab::LeaveOut(&slab_, pages);
    Destroy(pages, 0);
    ASSERT_EQ(TakeTheRest(), slab_.capacity);
    ASSERT_EQ(slab_.carved, slab_.capacity);
  }
}

TEST_P(SlabPagesTest, BlocksThatAreLeftOutAreNone) {
  TakeAll();
  FreeAllBut(slab_.capacity / 4 + 1, 5);
  slab::LeaveOut(&slab_, slab::FreePages(&slab_));
  size_t left_out = 0;
  for (size_t i = 0; i < slab_.capacity; ++i) {
    const char* address = memory_of_slab + i * size();
    const bool is_block = slab::IsBlock(&slab_, address);
    left_out += !is_block;
    ASSERT_EQ(is_block, !slab::IsLeftOut(&slab_, address));
    ASSERT_FALSE(slab::IsBlock(&slab_, address + 8)) << "inside";
    if (slab_.purged_pages != 0) {
      ASSERT_FALSE(slab::IsCarved(&slab_, address)) << "frees are looked at";
    }
  }
  EXPECT_EQ(left_out, LeftOut(&slab_));
  TakeTheRest();
  for (size_t i = 0; i < slab_.capacity; ++i) {
    ASSERT_TRUE(slab::IsCarved(&slab_, memory_of_slab + i * size()));
  }
}

TEST_P(SlabPagesTest, NothingIsFreeInADamagedList) {
  TakeAll();
  FreeAllBut(slab_.capacity + 1, 7);
  if (slab_.list.free == nullptr) return;
  Block* last = slab_.list.free;
  while (last->Next() != nullptr) last = last->Next();
  last->LinkTo(slab_.list.free);
  EXPECT_EQ(slab::FreePages(&slab_), 0) << "a circle";
  last->LinkTo(reinterpret_cast<Block*>(memory_of_slab + 8));
  EXPECT_EQ(slab::FreePages(&slab_), 0) << "no block";
  Block elsewhere;
  last->LinkTo(&elsewhere);
  EXPECT_EQ(slab::FreePages(&slab_), 0) << "out of the slab";
  reinterpret_cast<uintptr_t*>(last)[1] = 0;
  EXPECT_EQ(slab::FreePages(&slab_), 0) << "written to";
}

#if defined(__x86_64__)

// The slab is counted anew, as Heap::Repair does.
TEST_P(SlabPagesTest, AbandonedAnywhereItLosesFreeBlocksAtMost) {
  // It takes long: so few classes, and not each instruction of them.
  if (GetParam() % 9 != 0 || slab_.capacity > 64) return;
  const int stride =
      Stepper::kStride * static_cast<int>(1 + slab_.capacity / 8);
  for (const bool carves : {false, true}) {
    int limit = 0;
    bool abandoned = true;
    while (abandoned) {
      Begin();
      TakeAll();
      FreeAllBut(slab_.capacity / 3 + 1, 9);
      const Pages pages = slab::FreePages(&slab_);
      if (pages == 0) return;
      if (carves) {
        slab::LeaveOut(&slab_, pages);
        Destroy(pages, 0);
        while (Block* block = slab::Pop(&slab_.list)) live_.insert(block);
        for (Block* block : live_) Fill(block, size(), SeedOf(block));
      }
      const size_t before = LeftOut(&slab_);
      abandoned = Stepper::Abandon(
          [&] {
            carves ? static_cast<void>(slab::CarvePage(&slab_))
                   : slab::LeaveOut(&slab_, pages);
          },
          limit += stride);
      SCOPED_TRACE(testing::Message() << "after " << limit << " instructions");
      ASSERT_TRUE(slab::IsValid(&slab_));
      const size_t on_list = slab::CountFree(&slab_);
      const size_t known = on_list + LeftOut(&slab_) + live_.size();
      ASSERT_LE(known, slab_.capacity);
      const size_t lost = slab_.capacity - known;
      if (carves) {
        ASSERT_LE(lost, kPageBytes / size() + 1) << "one page";
        ASSERT_LE(LeftOut(&slab_), before);
      }
      if (!abandoned) {
        ASSERT_EQ(lost, 0u);
      }
      ASSERT_TRUE(LiveIsIntact());
      slab::Split(&slab_, static_cast<int>(live_.size() + lost), 0);
      slab::UpdateSteps(&slab_);
      ASSERT_EQ(TakeTheRest(), slab_.capacity - live_.size() - lost);
      ASSERT_TRUE(slab::IsValid(&slab_));
    }
    EXPECT_GT(limit, 5);
  }
}

#endif

INSTANTIATE_TEST_SUITE_P(AllClasses, SlabPagesTest,
                         testing::Range(0, kNumClasses));

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
