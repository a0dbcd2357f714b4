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

}  // namespace
}  // namespace aomalloc
