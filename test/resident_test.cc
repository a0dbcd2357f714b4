// What the process costs the system: the memory of which it has pages.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/report/statistics.h"
#include "core/thread/thread.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

void FreeBlock(void* ptr) { Free(ptr, "test"); }

class ResidentTest : public testing::Test {
 protected:
  void SetUp() override { memory::EnableMmap(); }
  void TearDown() override { EXPECT_TRUE(HeapsAreValid()); }
};

// A zeroed block that is barely used must not cost its size in memory, even
// where another one has been.
TEST_F(ResidentTest, LargeZeroedBlocksAreNotTouched) {
  Trim();
  constexpr size_t kBytes = 1024 * kMiB;
  FreeBlock(AllocateZeroed(kBytes));
  const size_t before = ResidentBytes();
  void* block = AllocateZeroed(kBytes);
  ASSERT_NE(block, nullptr);
  EXPECT_LT(ResidentBytes(), before + 64 * kMiB);
  FreeBlock(block);
}

// A small allocation now and then is all it takes.
TEST_F(ResidentTest, MemoryGoesBackToTheSystemAfterAPeak) {
  Trim();
  const size_t before = ResidentBytes();
  std::vector<void*> blocks;
  for (size_t bytes = 0; bytes < 100 * kMiB; bytes += 1000) {
    blocks.push_back(Allocate(1000));
    memset(blocks.back(), 1, 1000);
  }
  for (int i = 0; i < 100; ++i) {
    blocks.push_back(Allocate(kMiB));
    memset(blocks.back(), 1, kMiB);
  }
  EXPECT_GT(ResidentBytes(), before + 195 * kMiB);
  for (void* block : blocks) FreeBlock(block);
  EXPECT_TRUE(Eventually([&] {
    FreeBlock(Allocate(100000));
    return ResidentBytes() < before + 10 * kMiB;
  })) << (ResidentBytes() - before) / kMiB
      << " MiB were kept";
}

TEST_F(ResidentTest, TrimGivesEverythingBack) {
  Trim();
  const size_t before = ResidentBytes();
  std::vector<void*> blocks;
  for (int i = 0; i < 50000; ++i) {
    blocks.push_back(Allocate(1000));
    memset(blocks.back(), 1, 1000);
  }
  for (void* block : blocks) FreeBlock(block);
  EXPECT_TRUE(Trim());
  EXPECT_LT(ResidentBytes(), before + 2 * kMiB);
  EXPECT_EQ(Count().free_dirty, 0u);
}

TEST_F(ResidentTest, EndedThreadsLeaveLittleBehind) {
  const auto live_and_die = [] {
    for (size_t size = 16; size <= 100000; size *= 2) FreeBlock(Allocate(size));
  };
  const auto two_live_and_die = [&] {
    std::thread one(live_and_die), other(live_and_die);
    one.join();
    other.join();
  };
  for (int i = 0; i < 50; ++i) two_live_and_die();
  const size_t resident = ResidentBytes();
  int heaps = 0;
  for (Heap* h = thread::Registry(); h != nullptr; h = thread::Next(h)) ++heaps;
  for (int i = 0; i < 10000; ++i) two_live_and_die();
  EXPECT_LT(ResidentBytes(), resident + kMiB);
  for (Heap* h = thread::Registry(); h != nullptr; h = thread::Next(h)) --heaps;
  EXPECT_EQ(heaps, 0) << "heaps were made though others were free";
}

TEST_F(ResidentTest, BlocksOfEndedThreadsComeBackWhenOthersFreeThem) {
  Trim();
  const size_t before = Count().slab_bytes;
  const size_t resident = ResidentBytes();
  std::vector<std::vector<void*>> blocks(8);
  InThreads(8, [&](int i) {
    for (size_t bytes = 0; bytes < 8 * kMiB; bytes += 1000) {
      blocks[i].push_back(Allocate(1000));
      memset(blocks[i].back(), 1, 1000);
    }
  });
  EXPECT_GT(Count().slab_bytes, before + 60 * kMiB);
  for (const auto& list : blocks) {
    for (void* block : list) FreeBlock(block);
  }
  // This thread goes on for a while, in which no slab at hand is empty often.
  for (int i = 0; i < 100; ++i) {
    std::vector<void*> some(5000);
    for (void*& block : some) block = Allocate(64);
    for (void* block : some) FreeBlock(block);
  }
  EXPECT_LT(Count().slab_bytes, before + 2 * kMiB);
  EXPECT_TRUE(Eventually([&] {
    FreeBlock(Allocate(100000));
    return ResidentBytes() < resident + 8 * kMiB;
  }));
}

TEST_F(ResidentTest, TrimGivesBackWhatEndedThreadsLeft) {
  Trim();
  const size_t before = Count().slab_bytes;
  std::vector<void*> blocks;
  InThreads(1, [&](int) {
    for (size_t bytes = 0; bytes < 32 * kMiB; bytes += 1000) {
      blocks.push_back(Allocate(1000));
    }
  });
  for (void* block : blocks) FreeBlock(block);
  Trim();
  EXPECT_LT(Count().slab_bytes, before + 2 * kMiB);
}

}  // namespace
}  // namespace aomalloc
