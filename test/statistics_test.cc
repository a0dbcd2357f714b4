// What the heap is said to consist of, against what is known of it.
#include "core/report/statistics.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/base/os_memory.h"
#include "test/child.h"
#include "test/heaps.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own

void FreeBlock(void* ptr) { Free(ptr, "test"); }

ClassStatistics CountClass(int size_class) {
  ClassStatistics classes[kClassesAtATime];
  CountClasses(size_class / kClassesAtATime * kClassesAtATime, &classes);
  return classes[size_class % kClassesAtATime];
}

// Every byte of the arenas is told of once, and every slab by its class.
void ExpectThatItAddsUp() {
  const Statistics s = Count();
  EXPECT_EQ(s.used,
            s.slab_bytes + s.span_bytes + s.span_tails + s.kept + s.own);
  EXPECT_EQ(s.accessible, s.used + s.free_dirty + s.free_clean);
  EXPECT_EQ(s.slab_bytes, s.block_bytes + s.free_block_bytes + s.left_out +
                              s.uncarved + s.tails);
  EXPECT_LE(s.accessible, s.reserved);
  EXPECT_LE(s.used, s.peak_used);
  EXPECT_LE(s.held_heaps, s.heaps);
  ClassStatistics all;
  size_t bytes = 0;
  for (int i = 0; i < kNumClasses; ++i) {
    const ClassStatistics c = CountClass(i);
    all.slabs += c.slabs;
    all.blocks += c.blocks;
    all.remote_frees += c.remote_frees;
    bytes += c.blocks * ClassSize(i);
  }
  EXPECT_EQ(all.slabs, s.slabs);
  EXPECT_EQ(all.blocks, s.blocks);
  EXPECT_EQ(all.remote_frees, s.remote_frees);
  EXPECT_EQ(bytes, s.block_bytes);
}

// First, as mmap cannot be disabled again.
TEST(StaticStatisticsTest, TheStaticHeapIsCountedToo) {
  InChild([] {
    FreeBlock(Allocate(1));
    const Statistics before = Count();
    void* small = Allocate(48);
    EXPECT_NE(Allocate(40000), nullptr);
    const Statistics s = Count();
    EXPECT_EQ(s.block_bytes, before.block_bytes + UsableSize(small, "test"));
    EXPECT_EQ(s.span_bytes, before.span_bytes + 40960);
    size_t bytes;
    EXPECT_FALSE(ResidentBytes(&bytes)) << "no system call is made";
    ExpectThatItAddsUp();
  });
}

class StatisticsTest : public testing::Test {
 protected:
  void SetUp() override { memory::EnableMmap(); }
};

TEST_F(StatisticsTest, BlocksAreCountedByClass) {
  Random random(1);
  std::map<SizeClass, ClassStatistics> before;
  for (int i = 0; i < kNumClasses; ++i) before[i] = CountClass(i);
  const Statistics all_before = Count();
  std::map<SizeClass, size_t> taken;
  std::vector<void*> blocks;
  for (int i = 0; i < 20000; ++i) {
    void* block = Allocate(random.SkewedBelow(kMaxSmall));
    ++taken[memory::RunAt(block)->size_class];
    blocks.push_back(block);
  }
  size_t bytes = 0;
  for (const auto& [size_class, count] : taken) {
    EXPECT_EQ(CountClass(size_class).blocks, before[size_class].blocks + count);
    EXPECT_GE(CountClass(size_class).carved, CountClass(size_class).blocks);
    EXPECT_GE(CountClass(size_class).capacity, CountClass(size_class).carved);
    bytes += count * ClassSize(size_class);
  }
  EXPECT_EQ(Count().live(), all_before.live() + bytes);
  ExpectThatItAddsUp();
  for (void* block : blocks) FreeBlock(block);
  EXPECT_EQ(Count().live(), all_before.live());
  ExpectThatItAddsUp();
}

TEST_F(StatisticsTest, WhatIsOnItsWayHomeIsNotLive) {
  for (size_t count : {3, 1000}) {
    const Statistics before = Count();
    std::vector<void*> blocks(count);
    for (void*& block : blocks) block = Allocate(700);
    std::atomic<bool> counted{false};
    std::atomic<bool> freed{false};
    std::thread thread([&] {
      FreeBlock(Allocate(64));  // it has a heap, and keeps some back in it
      for (void* block : blocks) FreeBlock(block);
      freed = true;
      while (!counted) std::this_thread::yield();
    });
    while (!freed) std::this_thread::yield();
    const Statistics away = Count();
    EXPECT_EQ(away.away, before.away + count * ClassSize(ClassOf(700)));
    EXPECT_EQ(away.remote_frees, before.remote_frees);
    counted = true;
    thread.join();
    Trim();
    const Statistics home = Count();
    EXPECT_EQ(home.away, before.away);
    EXPECT_EQ(home.remote_frees, before.remote_frees + count);
    EXPECT_EQ(CountClass(ClassOf(700)).remote_frees, home.remote_frees);
    ExpectThatItAddsUp();
  }
}

TEST_F(StatisticsTest, KeptBlocksOfAnotherAreNotLive) {
  auto* owner = NewHeap();
  auto* other = NewHeap();
  for (int i = 0; i < 3; ++i) TakeFrom(other, 2048);
  other->Trim();
  std::vector<Block*> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(TakeFrom(owner, 2048));
  EXPECT_EQ(other->foreign().Bytes(), 0u);
  for (Block* block : blocks) {
    other->FreeForeign(owner, memory::RunAt(block), block);
  }
  EXPECT_EQ(other->foreign().Bytes() + owner->sent_bytes(), 8 * 2048u);
  // From now on it may keep some.
  while (TakeFrom(other, 2048), other->Refill(ClassOf(2048)) != nullptr) {
  }
  blocks.assign(1, TakeFrom(owner, 2048));
  const size_t bytes = other->foreign().Bytes();
  other->FreeForeign(owner, memory::RunAt(blocks[0]), blocks[0]);
  EXPECT_EQ(other->foreign().Bytes(), bytes + 2048);
}

TEST_F(StatisticsTest, PurgesAndSpansAreCounted) {
  const Statistics before = Count();
  constexpr size_t kBytes = size_t{8} << 20;
  void* block = Allocate(kBytes);
  memset(block, 1, kBytes);
  const Statistics with = Count();
  EXPECT_EQ(with.spans, before.spans + 1);
  EXPECT_EQ(with.live(), before.live() + kBytes);
  EXPECT_GE(with.peak_used, before.used + kBytes);
  FreeBlock(block);
  Trim();
  const Statistics after = Count();
  EXPECT_GT(after.purges, before.purges);
  EXPECT_GE(after.purged, before.purged + kBytes);
  EXPECT_GE(after.peak_used, with.peak_used) << "a peak stays";
  ExpectThatItAddsUp();
}

TEST_F(StatisticsTest, NestedEntriesAreCounted) {
  FreeBlock(Allocate(1));
  const size_t before = Count().nested_entries;
  void* block = Allocate(64);
  const ClaimFrame interrupted;
  ASSERT_TRUE(thread::current->claim.Claim(interrupted));
  FreeBlock(block);
  FreeBlock(Allocate(64));
  thread::current->claim.Release();
  EXPECT_EQ(Count().nested_entries, before + 3);
}

TEST_F(StatisticsTest, ThePeakIsWatchedForOnceThatIsWanted) {
  InChild([] {
    EXPECT_EQ(Count().peak_live, 0u);
    statistics::Watch();
    std::vector<void*> blocks(5000);
    for (void*& block : blocks) block = Allocate(1000);
    void* large = Allocate(size_t{3} << 20);
    const size_t most = Count().live();
    FreeBlock(large);
    for (void* block : blocks) FreeBlock(block);
    EXPECT_LT(Count().live(), most / 2);
    // Nobody has counted while it grew, but the allocator.
    EXPECT_GE(Count().peak_live, most - most / 32);
    EXPECT_LE(Count().peak_live, most);
  });
}

TEST_F(StatisticsTest, ResidentIsWhatHasMemoryBehindIt) {
  size_t before;
  size_t with;
  size_t after;
  ASSERT_TRUE(ResidentBytes(&before));
  constexpr size_t kBytes = size_t{16} << 20;
  void* block = Allocate(2 * kBytes);
  memset(block, 1, kBytes);
  ASSERT_TRUE(ResidentBytes(&with));
  // Huge pages may have come along.
  EXPECT_GE(with, before + kBytes);
  EXPECT_LE(with, before + kBytes + (size_t{4} << 20));
  FreeBlock(block);
  Trim();
  ASSERT_TRUE(ResidentBytes(&after));
  EXPECT_LT(after, with - kBytes + (size_t{4} << 20));
  size_t bytes;
  EXPECT_FALSE(os::Resident(nullptr, 4096, &bytes)) << "nothing is mapped";
}

// What a thread that moves on has half written must do no harm.
TEST_F(StatisticsTest, NonsenseIsBounded) {
  InChild([] {
    const memory::Grant taken = memory::Take({65536, 4096, 1});
    for (int kind = 0; kind < 5; ++kind) {
      for (uint32_t units : {0u, 1u, 12345678u}) {
        Descriptor* run = taken.run;
        run->kind = static_cast<RunKind>(kind);
        run->units = units;
        run->size_class = 255;
        run->capacity = 65535;
        run->carved = 65535;
        run->purged_pages = 65535;
        for (int used : {-5, 100000}) {
          run->list.used = used;
          const Arena* arena = taken.arena;
          const RunView view =
              ViewRun(arena, static_cast<size_t>(run - arena->table()));
          EXPECT_GE(view.units, 1u);
          EXPECT_LE(view.units, arena->end());
          EXPECT_LT(view.size_class, kNumClasses);
          EXPECT_LE(view.blocks, view.carved);
          EXPECT_LE(view.blocks + view.left_out, view.carved);
          EXPECT_LE(view.carved, view.capacity);
          EXPECT_LE(view.capacity * ClassSize(view.size_class),
                    view.units * arena->unit_bytes());
          Count();
        }
      }
    }
    taken.run->kind = RunKind::kFree;
  });
}

TEST_F(StatisticsTest, CountingBesideThreadsThatMoveOnIsBounded) {
  std::atomic<int> working{2};
  InThreads(3, [&](int me) {
    if (me == 2) {
      while (working > 0) {
        const Statistics s = Count();
        // The heap may have grown while its slabs were counted.
        EXPECT_LE(s.live(), std::max(s.accessible, Count().accessible));
        for (int i = 0; i < kNumClasses; i += kClassesAtATime) CountClass(i);
      }
      return;
    }
    Random random(static_cast<uint64_t>(me));
    std::vector<void*> blocks(100);
    for (int i = 0; i < 100000; ++i) {
      void*& block = blocks[random.Below(blocks.size())];
      FreeBlock(block);
      block = Allocate(random.SkewedBelow(300000));
    }
    for (void* block : blocks) FreeBlock(block);
    --working;
  });
}

// What a program has mapped in the middle of the heap is none of it.
TEST_F(StatisticsTest, WhatIsInTheWayDoesNotCount) {
  InChild([] {
    memory::EnableMmap();
    Free(Allocate(100), "test");
    const Arena* primary = memory::ArenaAt(1);
    char* page = primary->base() + primary->end() * primary->unit_bytes();
    ASSERT_EQ(mmap(page, os::PageSize(), PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
              page);
    const size_t size = (primary->end() + 64) * primary->unit_bytes();
    void* block = Allocate(size);
    ASSERT_NE(block, nullptr);
    EXPECT_LT(primary->accessible_units(), primary->end());
    const Statistics s = Count();
    EXPECT_GE(s.span_bytes, size);
    EXPECT_LT(
        s.accessible - memory::ArenaAt(0)->end() * memory::kStaticUnitBytes,
        primary->end() * primary->unit_bytes());
    size_t resident;
    EXPECT_TRUE(ResidentBytes(&resident));
    Free(block, "test");
  });
}

}  // namespace
}  // namespace aomalloc
