#include "core/heap/slab.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "core/allocator.h"
#include "core/arena/memory.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own

constexpr size_t kBytes = memory::kMappedUnitBytes;
alignas(64) char memory_of_slab[kBytes];

class SlabTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    slab_.base = memory_of_slab;
    slab::Init(&slab_, kBytes, size_class());
    slab_.kind = RunKind::kSlab;
  }
  SizeClass size_class() const { return static_cast<SizeClass>(GetParam()); }
  size_t size() const { return ClassSize(GetParam()); }

  // As a heap does; the slab is on no list.
  Block* Take() {
    if (slab_.list.free == nullptr && !slab::Carve(&slab_)) return nullptr;
    return slab::Pop(&slab_.list);
  }

  Descriptor slab_{};
};

TEST_P(SlabTest, BeginsEmpty) {
  EXPECT_TRUE(slab::IsValid(&slab_));
  EXPECT_EQ(slab::InUse(&slab_), 0);
  EXPECT_EQ(slab::CountFree(&slab_), 0u);
  EXPECT_EQ(slab::BlockSize(&slab_), size());
  EXPECT_EQ(slab_.capacity, kBytes / size());
  EXPECT_EQ(slab::Pop(&slab_.list), nullptr);
}

TEST_P(SlabTest, CarvesAllItsBlocksBitByBit) {
  size_t carved = 0;
  while (slab::Carve(&slab_)) {
    ASSERT_GT(slab_.carved, carved);
    ASSERT_LE((slab_.carved - carved - 1) * size(), 4096u)
        << "too many at once";
    carved = slab_.carved;
    ASSERT_TRUE(slab::IsValid(&slab_));
    ASSERT_EQ(slab::CountFree(&slab_), carved);
  }
  EXPECT_EQ(carved, slab_.capacity);
  EXPECT_FALSE(slab::Carve(&slab_));
}

TEST_P(SlabTest, EachBlockIsAnother) {
  std::set<char*> blocks;
  Block* block;
  while ((block = Take()) != nullptr) {
    auto* address = reinterpret_cast<char*>(block);
    ASSERT_TRUE(blocks.insert(address).second);
    ASSERT_GE(address, memory_of_slab);
    ASSERT_LE(address + size(), memory_of_slab + kBytes);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(address) % kGranule, 0u);
    ASSERT_EQ(static_cast<size_t>(address - memory_of_slab) % size(), 0u);
  }
  EXPECT_EQ(blocks.size(), slab_.capacity);
  EXPECT_EQ(slab::InUse(&slab_), slab_.capacity);
  EXPECT_TRUE(slab::IsValid(&slab_));
}

TEST_P(SlabTest, FindsTheStartOfEveryBlock) {
  for (size_t offset = 0; offset < slab_.capacity * size(); ++offset) {
    ASSERT_EQ(slab::BlockStart(&slab_, memory_of_slab + offset),
              memory_of_slab + offset / size() * size());
  }
}

// Not what is inside of a block, never carved, or behind the last block.
TEST_P(SlabTest, TellsCarvedBlocksFromAllElse) {
  do {
    for (size_t offset = 0; offset < kBytes; ++offset) {
      ASSERT_EQ(slab::IsCarved(&slab_, memory_of_slab + offset),
                offset % size() == 0 && offset / size() < slab_.carved)
          << offset << " with " << slab_.carved << " carved";
    }
  } while (slab::Carve(&slab_));
}

TEST_P(SlabTest, StaysValidUnderAnyOrder) {
  Random random(static_cast<uint64_t>(GetParam()));
  std::vector<Block*> held;
  for (int step = 0; step < 3000; ++step) {
    if (random.Below(5) < 3) {
      Block* block = Take();
      ASSERT_EQ(block == nullptr, held.size() == slab_.capacity);
      if (block == nullptr) continue;
      memset(static_cast<void*>(block), 0xA5, size());
      held.push_back(block);
    } else if (!held.empty()) {
      const size_t index = random.Below(held.size());
      const bool zero = slab::Push(&slab_.list, held[index]);
      held[index] = held.back();
      held.pop_back();
      ASSERT_EQ(zero, held.empty());
    }
    ASSERT_EQ(static_cast<size_t>(slab::InUse(&slab_)), held.size());
    ASSERT_EQ(slab::CountFree(&slab_), slab_.carved - held.size());
    ASSERT_TRUE(slab::IsValid(&slab_));
  }
}

TEST_P(SlabTest, DamageIsSeen) {
  Block* block = Take();
  ASSERT_NE(block, nullptr);
  slab::Push(&slab_.list, block);
  ASSERT_TRUE(slab::IsValid(&slab_));
  // A block that is free twice; a link to elsewhere; a block too many.
  block->LinkTo(block);
  EXPECT_FALSE(slab::IsValid(&slab_));
  block->LinkTo(reinterpret_cast<Block*>(memory_of_slab + kBytes));
  EXPECT_FALSE(slab::IsValid(&slab_));
  block->LinkTo(reinterpret_cast<Block*>(memory_of_slab + 8));
  EXPECT_FALSE(slab::IsValid(&slab_));
  block->LinkTo(nullptr);
  slab_.list.used += slab_.carved + 1;
  EXPECT_FALSE(slab::IsValid(&slab_));
  slab_.list.used -= slab_.carved + 1;
  slab_.kind = RunKind::kSpan;
  EXPECT_FALSE(slab::IsValid(&slab_));
}

TEST_P(SlabTest, AFreeBlockIsToldFromAnyOther) {
  Block* block = Take();
  ASSERT_NE(block, nullptr);
  EXPECT_FALSE(slab::IsFree(&slab_, block));
  memset(static_cast<void*>(block), 0xA5, size());
  EXPECT_FALSE(slab::IsFree(&slab_, block));
  slab::Push(&slab_.list, block);
  EXPECT_TRUE(slab::IsFree(&slab_, block));
  // Links to nothing, and out of the slab: to no block, and to one.
  block->LinkTo(nullptr);
  EXPECT_TRUE(slab::IsFree(&slab_, block));
  Block elsewhere;
  block->LinkTo(&elsewhere);
  EXPECT_FALSE(slab::IsFree(&slab_, block)) << "may be the program's data";
  block->BearWitness();
  EXPECT_FALSE(slab::IsFree(&slab_, block)) << "may be what it was once";
  auto* other = static_cast<Block*>(Allocate(100));
  block->LinkTo(other);
  block->BearWitness();
  EXPECT_TRUE(slab::IsFree(&slab_, block));
  Free(other, "test");
}

// It may hold what a free block held at its address: then the list tells.
TEST_P(SlabTest, ALiveBlockIsOnNoList) {
  Block* listed = Take();
  Block* live = Take();
  ASSERT_NE(live, nullptr);
  memset(memory_of_slab, 0xA5, 2 * size());
  slab::Push(&slab_.list, listed);
  live->LinkTo(listed);
  EXPECT_FALSE(slab::IsFree(&slab_, live));
  EXPECT_TRUE(slab::IsFree(&slab_, listed));
  // Unless the list is damaged.
  listed->Unlink();
  EXPECT_TRUE(slab::IsFree(&slab_, live));
}

TEST_P(SlabTest, ABlockWrittenToIsNotHandedOut) {
  Block* block = Take();
  ASSERT_NE(block, nullptr);
  slab::Push(&slab_.list, block);
  reinterpret_cast<uintptr_t*>(block)[1] = 0;
  EXPECT_EQ(slab::Pop(&slab_.list), nullptr);
}

TEST_P(SlabTest, TheStaticHeapWastesLittle) {
  const size_t bytes = slab::StaticBytes(size_class());
  EXPECT_EQ(bytes % memory::kStaticUnitBytes, 0u);
  EXPECT_GE(bytes, size());
  EXPECT_LE(bytes, size_t{60} << 10);
  EXPECT_LE(bytes % size(), bytes / 16) << "behind the last block";
  EXPECT_GE(slab::LeastStaticBytes(size_class()), size());
  EXPECT_LE(slab::LeastStaticBytes(size_class()), bytes);
}

INSTANTIATE_TEST_SUITE_P(AllClasses, SlabTest, testing::Range(0, kNumClasses));

}  // namespace
}  // namespace aomalloc
