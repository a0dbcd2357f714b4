// What threads have freed for others that have ended comes back: counted in
// units of the arenas, for which no clock matters.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/thread/thread.h"
#include "test/sleeper.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

void FreeBlock(void* ptr) { Free(ptr, "test"); }

std::vector<void*> AllocateMany(size_t count, size_t least, size_t most) {
  std::vector<void*> blocks(count);
  Random random(count + most);
  for (void*& block : blocks) {
    block = Allocate(least + random.Below(most - least + 1));
    *static_cast<char*>(block) = 1;
  }
  return blocks;
}

void FreeAll(const std::vector<void*>& blocks) {
  for (void* block : blocks) FreeBlock(block);
}

class ReliefTest : public testing::Test {
 protected:
  void SetUp() override {
    memory::EnableMmap();
    FreeBlock(Allocate(1));  // this thread has a heap
    Trim();
    before_ = memory::UsedBytes();
  }
  void TearDown() override { EXPECT_TRUE(HeapsAreValid()); }

  // The MiB that are in use and were not before the test.
  size_t MoreMiB() const {
    const size_t now = memory::UsedBytes();
    return now < before_ ? 0 : (now - before_) / kMiB;
  }

  // Threads allocate, all at the same time, and end.
  static std::vector<std::vector<void*>> AllocateAndEnd(int threads,
                                                        size_t count,
                                                        size_t least,
                                                        size_t most) {
    std::vector<std::vector<void*>> blocks(static_cast<size_t>(threads));
    std::atomic<int> missing{threads};
    InThreads(threads, [&](int i) {
      blocks[static_cast<size_t>(i)] = AllocateMany(count, least, most);
      --missing;
      while (missing > 0) std::this_thread::yield();
    });
    return blocks;
  }

 private:
  size_t before_ = 0;
};

TEST_F(ReliefTest, WhatEndedThreadsHaveAllocatedComesBackAsItIsFreed) {
  const auto blocks = AllocateAndEnd(50, 4000, 256, 256);
  EXPECT_GT(MoreMiB(), 40u);
  for (const auto& of_thread : blocks) FreeAll(of_thread);
  // A crowd of 64 KiB, and the slab of the last blocks, of each.
  EXPECT_LT(MoreMiB(), 10u);
}

TEST_F(ReliefTest, BlocksOfManySizesComeBackToo) {
  const auto blocks = AllocateAndEnd(8, 8000, 16, 2000);
  EXPECT_GT(MoreMiB(), 50u);
  for (const auto& of_thread : blocks) FreeAll(of_thread);
  EXPECT_LT(MoreMiB(), 20u);
  Trim();
  EXPECT_LT(MoreMiB(), 2u);
}

TEST_F(ReliefTest, WhatASleeperHasAllocatedComesBackAsAnotherFreesIt) {
  Sleeper owner;
  Sleeper other;
  std::vector<void*> blocks;
  owner.Do([&] { blocks = AllocateMany(64 << 10, 1024, 1024); });
  EXPECT_GT(MoreMiB(), 60u);
  other.Do([&] { FreeAll(blocks); });
  EXPECT_LT(MoreMiB(), 4u);
  owner.Do([&] { FreeAll(AllocateMany(1000, 16, 3000)); });
}

// By threads that never allocate, and have no heap.
TEST_F(ReliefTest, WhatThreadsWithoutAHeapFreeComesBackToo) {
  Sleeper owner;
  std::vector<void*> blocks;
  owner.Do([&] { blocks = AllocateMany(4000, 20000, 20000); });
  EXPECT_GT(MoreMiB(), 60u);
  constexpr size_t kEach = 100;
  for (size_t i = 0; i < blocks.size(); i += kEach) {
    InThreads(1, [&](int) {
      for (size_t n = i; n < i + kEach; ++n) FreeBlock(blocks[n]);
    });
  }
  EXPECT_LT(MoreMiB(), 8u);
}

TEST_F(ReliefTest, TrimTakesWhatIsTooLittleToBeTakenAtOnce) {
  Sleeper owners[8];
  for (Sleeper& owner : owners) {
    std::vector<void*> blocks;
    owner.Do([&] { blocks = AllocateMany(700, 1024, 1024); });
    FreeAll(blocks);
  }
  EXPECT_GE(MoreMiB(), 5u);
  Trim();
  EXPECT_LT(MoreMiB(), 2u);
}

}  // namespace
}  // namespace aomalloc
