// An arena that gives addresses back: what it keeps, what comes again, and what
// others find there meanwhile.
#include <errno.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "core/allocator.h"
#include "core/arena/arena.h"
#include "test/child.h"
#include "test/growing.h"
#include "test/refuse.h"
#include "test/step.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

// The sum of the sizes of the mappings of this process.
size_t Addresses() {
  FILE* file = fopen("/proc/self/statm", "re");
  size_t pages = 0;
  if (file == nullptr || fscanf(file, "%zu", &pages) != 1) ADD_FAILURE();
  if (file != nullptr) fclose(file);
  return pages * os::PageSize();
}

// Of these, private ones that may be written.
size_t Writable() {
  FILE* file = fopen("/proc/self/statm", "re");
  size_t pages = 0;
  if (file == nullptr || fscanf(file, "%*u %*u %*u %*u %*u %zu", &pages) != 1) {
    ADD_FAILURE();
  }
  if (file != nullptr) fclose(file);
  return pages * os::PageSize();
}

bool IsMapped(const void* address) {
  unsigned char resident;
  return mincore(const_cast<void*>(address), 1, &resident) == 0;
}

// Takes `count` chunks, one by one, and returns all of them but the kept ones.
std::vector<Run*> Peak(const Growing& test, size_t count,
                       const std::vector<size_t>& kept) {
  std::vector<Run*> runs;
  for (size_t i = 0; i < count; ++i) {
    runs.push_back(test.arena->Take(kChunk, 1).run);
    runs.back()->base[0] = 1;
  }
  for (size_t i = 0; i < count; ++i) {
    if (std::find(kept.begin(), kept.end(), i) == kept.end()) {
      // It need not be purged first.
      runs[i]->base[0] = 0;
      test.arena->Return(runs[i], /*dirty=*/false);
    }
  }
  return runs;
}

TEST(ShrinkTest, TheHighestFreeChunksGoAndComeAgain) {
  Growing test;
  const std::vector<::aomalloc::Run*> runs = Peak(test, 10, {3, 8});
  const size_t addresses = Addresses();
  test.arena->UnmapExcess(5 * kChunk);
  EXPECT_EQ(test.arena->accessible_units(), 5 * kChunk);
  EXPECT_EQ(Addresses(), addresses - 5 * kChunk * kUnit);
  for (const size_t i : {0, 1, 2, 3, 8}) {
    EXPECT_TRUE(test.arena->Contains(test.At(i * kChunk)));
    EXPECT_TRUE(IsMapped(test.At(i * kChunk)));
  }
  for (const size_t i : {4, 5, 6, 7, 9}) {
    EXPECT_FALSE(test.arena->Contains(test.At(i * kChunk)));
    EXPECT_FALSE(IsMapped(test.At(i * kChunk)));
  }
  for (const size_t i : {0, 1, 2, 4, 5, 6, 7}) {
    EXPECT_EQ(TakeAndUse(test, kChunk), test.table + i * kChunk);
  }
  EXPECT_EQ(test.arena->used_units(), 9 * kChunk);
  EXPECT_EQ(runs[3]->base[0], 1);
}

TEST(ShrinkTest, WhatIsDirtyStaysUntilItIsPurged) {
  Growing test;
  Peak(test, 10, {});
  ::aomalloc::Run* run = TakeAndUse(test, 3 * kChunk);
  test.arena->Return(run, /*dirty=*/true);
  test.arena->UnmapExcess(0);
  EXPECT_EQ(test.arena->accessible_units(), 3 * kChunk);
  test.arena->PurgeExcess(0);
  test.arena->UnmapExcess(0);
  EXPECT_EQ(test.arena->accessible_units(), 0u);
}

TEST(ShrinkTest, APartOfAChunkThatComesAgainIsFree) {
  Growing test;
  Peak(test, 3, {});
  test.arena->UnmapExcess(0);
  EXPECT_EQ(test.arena->accessible_units(), 0u);
  EXPECT_EQ(test.arena->dirty_units(), 0u);
  ASSERT_EQ(TakeAndUse(test, kChunk + 1), test.table);
  EXPECT_EQ(TakeAndUse(test, kChunk - 1), test.table + kChunk + 1);
  EXPECT_EQ(TakeAndUse(test, 1), test.table + 2 * kChunk);
}

TEST(ShrinkTest, ARunGrowsWhereAChunkWasGivenBack) {
  Growing test;
  const std::vector<::aomalloc::Run*> runs = Peak(test, 2, {0});
  test.arena->UnmapExcess(kChunk);
  ASSERT_TRUE(test.arena->Extend(runs[0], kChunk + 1));
  EXPECT_EQ(runs[0]->base[kChunk * kUnit], 0);
  EXPECT_EQ(test.arena->accessible_units(), 2 * kChunk);
  EXPECT_EQ(TakeAndUse(test, 1), test.table + kChunk + 1);
}

TEST(ShrinkTest, ARunDoesNotGrowBeyondAHole) {
  Growing test;
  const std::vector<::aomalloc::Run*> runs = Peak(test, 3, {0, 2});
  test.arena->UnmapExcess(2 * kChunk);
  EXPECT_FALSE(test.arena->Extend(runs[0], 2 * kChunk + 1));
  EXPECT_EQ(test.arena->accessible_units(), 2 * kChunk);
  EXPECT_EQ(runs[0]->units, kChunk);
  EXPECT_EQ(runs[2]->base[0], 1);
  EXPECT_TRUE(test.arena->Extend(runs[0], 2 * kChunk));
}

TEST(ShrinkTest, WhatAProgramHasMappedThereStays) {
  Growing test;
  Peak(test, 3, {});
  test.arena->UnmapExcess(0);
  test.Occupy(test.At(kChunk));
  EXPECT_EQ(TakeAndUse(test, kChunk), test.table);
  EXPECT_EQ(TakeAndUse(test, kChunk), test.table + 2 * kChunk);
  EXPECT_TRUE(test.IsUntouched(test.At(kChunk)));
}

TEST(ShrinkTest, WhereTheSystemRefusesAllStays) {
  for (const int error : kRefusals) {
    for (const bool may_look : {true, false}) {
      InChild([=] {
        Growing test;
        Peak(test, 20, {});
        const size_t there = test.arena->accessible_units();
        Refuse(SYS_munmap, error);
        if (!may_look) Refuse(SYS_futex, error);
        for (int i = 0; i < 100; ++i) test.arena->UnmapExcess(kChunk);
        EXPECT_EQ(test.arena->accessible_units(), may_look ? there : kChunk);
        ::aomalloc::Run* run = TakeAndUse(test, there);
        ASSERT_NE(run, nullptr);
        EXPECT_EQ(run == test.table, may_look);
      });
    }
  }
}

// The rule for the process: twice what is in use, and 16 MiB.
TEST(ShrinkTest, AddressesFallAfterAPeak) {
  InChild([] {
    memory::EnableMmap();
    constexpr size_t kMiB = size_t{1} << 20;
    Free(Allocate(100), "test");
    const size_t before = Addresses();
    std::vector<void*> blocks;
    for (size_t i = 0; i < 200; ++i) blocks.push_back(Allocate(kMiB));
    for (size_t i = 0; i < 40000; ++i) blocks.push_back(Allocate(2000));
    EXPECT_GT(Addresses() - before, 270 * kMiB);
    for (void* block : blocks) Free(block, "test");
    EXPECT_LE(Addresses() - before, 22 * kMiB);
    // One block, and that of nothing.
    void* large = Allocate(1000 * kMiB);
    EXPECT_GT(Addresses() - before, 1000 * kMiB);
    Free(large, "test");
    EXPECT_LE(Addresses() - before, 22 * kMiB);
    EXPECT_TRUE(HeapsAreValid());
  });
}

// Limits what the process may have to so many bytes more.
void Limit(bool addresses, size_t more) {
  const size_t bytes = (addresses ? Addresses() : Writable()) + more;
  const rlimit limit{bytes, bytes};
  ASSERT_EQ(setrlimit(addresses ? RLIMIT_AS : RLIMIT_DATA, &limit), 0);
}

// Calls `f` in a child that may have so many bytes more, of either kind.
template <typename F>
void UnderEachLimit(size_t more, const F& f) {
  for (const bool addresses : {true, false}) {
    InChild([&] {
      memory::EnableMmap();
      Free(Allocate(100), "test");
      Limit(addresses, more);
      f();
    });
  }
}

// What is free is there for other mappings, and for larger blocks.
TEST(ShrinkTest, WhoHasMetALimitKeepsLittle) {
  constexpr size_t kMiB = size_t{1} << 20;
  UnderEachLimit(200 * kMiB, [] {
    for (int round = 0; round < 3; ++round) {
      std::vector<void*> blocks;
      void* block;
      while ((block = Allocate(8 * kMiB)) != nullptr) blocks.push_back(block);
      EXPECT_EQ(errno, ENOMEM);
      EXPECT_GE(blocks.size(), 23u);
      for (size_t i = 0; i < blocks.size(); i += 2) Free(blocks[i], "test");
      void* other = mmap(nullptr, 80 * kMiB, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      EXPECT_NE(other, MAP_FAILED);
      EXPECT_EQ(Allocate(80 * kMiB), nullptr);
      munmap(other, 80 * kMiB);
      block = Allocate(80 * kMiB);
      EXPECT_NE(block, nullptr);
      for (size_t i = 1; i < blocks.size(); i += 2) Free(blocks[i], "test");
      Free(block, "test");
    }
    EXPECT_TRUE(HeapsAreValid());
  });
}

// How many bytes are purged while blocks of 30 MiB come and go, after this has
// been learnt.
size_t PurgedWhileBlocksComeAndGo() {
  const Arena* arena = memory::MappedAt(0);
  std::vector<void*> blocks(15);
  size_t purged = 0;
  for (int round = 0; round < 20; ++round) {
    if (round == 5) purged = arena->purged_units();
    for (void*& block : blocks) block = Allocate(size_t{2} << 20);
    for (void* block : blocks) Free(block, "test");
  }
  return (arena->purged_units() - purged) * kUnit;
}

// Where it is not near that limit any more, or has another one, it learns what
// it wants again.
TEST(ShrinkTest, WhoHasComeBackFromALimitPurgesNoMoreThanOthers) {
  constexpr size_t kMiB = size_t{1} << 20;
  for (const bool raised : {false, true}) {
    InChild([raised] {
      memory::EnableMmap();
      Free(Allocate(100), "test");
      rlimit limit{Addresses() + (raised ? 50 : 400) * kMiB, RLIM_INFINITY};
      ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
      std::vector<void*> blocks;
      void* block;
      while ((block = Allocate(2 * kMiB)) != nullptr) blocks.push_back(block);
      ASSERT_TRUE(memory::MappedAt(0)->HasMetLimit());
      if (raised) {
        limit.rlim_cur = RLIM_INFINITY;
        ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
        ASSERT_NE(Allocate(20 * kMiB), nullptr);
        EXPECT_FALSE(memory::MappedAt(0)->HasMetLimit());
      } else {
        for (void* other : blocks) Free(other, "test");
      }
      EXPECT_LE(PurgedWhileBlocksComeAndGo(), 60 * kMiB);
    });
  }
}

// What the program itself gives back does not raise a limit.
TEST(ShrinkTest, WhoGrowsByWhatOthersGaveBackIsStillLimited) {
  constexpr size_t kMiB = size_t{1} << 20;
  constexpr size_t kOthers = 32 * kMiB;
  InChild([] {
    memory::EnableMmap();
    Free(Allocate(100), "test");
    void* others = os::Reserve(kOthers, os::PageSize());
    const rlimit limit{Addresses() + 400 * kMiB, RLIM_INFINITY};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    std::vector<void*> blocks;
    void* block;
    while ((block = Allocate(2 * kMiB)) != nullptr) blocks.push_back(block);
    os::Unmap(others, kOthers);
    for (int i = 0; i < 4; ++i) blocks.push_back(Allocate(2 * kMiB));
    ASSERT_NE(blocks.back(), nullptr);
    for (size_t i = blocks.size() / 2; i < blocks.size(); ++i) {
      Free(blocks[i], "test");
    }
    EXPECT_LE(Addresses(), limit.rlim_cur - 150 * kMiB);
  });
}

// Not before the first request that is refused.
TEST(ShrinkTest, ALargeBlockGetsTheAddressesOfFreeOnes) {
  constexpr size_t kMiB = size_t{1} << 20;
  UnderEachLimit(100 * kMiB, [] {
    std::vector<char*> blocks;
    for (int i = 0; i < 10; ++i) {
      blocks.push_back(static_cast<char*>(Allocate(8 * kMiB)));
      ASSERT_NE(blocks.back(), nullptr);
      blocks.back()[0] = 1;
    }
    const size_t before = Addresses();
    for (size_t i = 0; i < 10; i += 2) Free(blocks[i], "test");
    EXPECT_EQ(Addresses(), before) << "it has met no limit yet";
    EXPECT_EQ(Allocate(80 * kMiB), nullptr);
    char* block = static_cast<char*>(Allocate(48 * kMiB));
    ASSERT_NE(block, nullptr);
    block[0] = 1;
    block[48 * kMiB - 1] = 1;
    for (size_t i = 1; i < 10; i += 2) EXPECT_EQ(blocks[i][0], 1);
    EXPECT_TRUE(HeapsAreValid());
  });
}

constexpr int kOrders = 5;

// The numbers below `count`, upwards, downwards, every other one first,
// shuffled, or the upper half first.
std::vector<size_t> Order(int order, size_t count) {
  std::vector<size_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  const auto begin = numbers.begin();
  const auto end = numbers.end();
  const auto even = [](size_t i) { return i % 2 == 0; };
  if (order == 1) std::reverse(begin, end);
  if (order == 2) std::stable_partition(begin, end, even);
  if (order == 3) std::shuffle(begin, end, std::mt19937(1));
  if (order == 4) std::rotate(begin, begin + static_cast<long>(count / 2), end);
  return numbers;
}

TEST(ShrinkTest, AddressesFallInWhateverOrderBlocksAreFreed) {
  constexpr size_t kMiB = size_t{1} << 20;
  constexpr size_t kBlocks = 4096;
  for (int order = 0; order < kOrders; ++order) {
    InChild([order] {
      memory::EnableMmap();
      Free(Allocate(100), "test");
      const size_t before = Addresses();
      std::vector<void*> blocks(kBlocks);
      for (void*& block : blocks) block = Allocate(kMiB);
      EXPECT_GT(Addresses() - before, kBlocks * kMiB);
      for (const size_t i : Order(order, kBlocks)) Free(blocks[i], "test");
      // With the table of the peak.
      EXPECT_LE(Addresses() - before, 64 * kMiB + kBlocks * kMiB / 400)
          << order;
    });
  }
}

// Each call looks at few chunks, and the next goes on there.
TEST(ShrinkTest, ASearchGoesRound) {
  for (int order = 0; order < kOrders; ++order) {
    SCOPED_TRACE(order);
    Growing test;
    constexpr size_t kChunks = 1000;
    std::vector<::aomalloc::Run*> runs;
    for (size_t i = 0; i < kChunks; ++i) {
      runs.push_back(test.arena->Take(kChunk, 1).run);
    }
    for (const size_t i : Order(order, kChunks)) {
      test.arena->Return(runs[i], /*dirty=*/false);
      const size_t allowed = 2 * test.arena->used_units();
      test.arena->UnmapExcess(allowed, 20);
      ASSERT_LE(test.arena->accessible_units(),
                allowed + kChunks / 10 * kChunk);
    }
    test.arena->UnmapExcess(0, 20);
    EXPECT_LE(test.arena->accessible_units(), kChunk * 8);
  }
}

TEST(ShrinkTest, ThreadsTakeAndReturnMeanwhile) {
  Growing test;
  constexpr int kThreads = 4;
  InThreads(kThreads, [&](int id) {
    for (size_t i = 0; i < 30000; ++i) {
      if (id == 0) {
        test.arena->PurgeExcess(0);
        test.arena->UnmapExcess(i % 3 * kChunk);
        continue;
      }
      const size_t count = 1 + i % 5 * (kChunk / 3);
      ::aomalloc::Run* run = TakeAndUse(test, count);
      ASSERT_NE(run, nullptr);
      run->base[0] = static_cast<char>(id);
      if (i % 3 == 0) test.arena->Extend(run, count + 7);
      ASSERT_EQ(run->base[0], id);
      test.arena->Return(run, /*dirty=*/true);
    }
  });
  EXPECT_EQ(test.arena->used_units(), 0u);
  test.arena->PurgeExcess(0);
  test.arena->UnmapExcess(0);
  EXPECT_EQ(test.arena->accessible_units(), 0u);
  EXPECT_EQ(test.arena->dirty_units(), 0u);
}

#if defined(__x86_64__)

TEST(ShrinkTest, StoppedAnywhereItKeepsBackWhatItWasAbout) {
  bool abandoned = true;
  int limit = 0;
  while (abandoned) {
    SCOPED_TRACE(limit);
    Growing test;
    Peak(test, 4, {1});
    abandoned = Stepper::Abandon([&] { test.arena->UnmapExcess(kChunk); },
                                 limit += 3 * Stepper::kStride);
    test.arena->UnmapExcess(kChunk);
    ASSERT_NE(TakeAndUse(test, 1), nullptr);
    ASSERT_NE(TakeAndUse(test, 2 * kChunk), nullptr);
    ASSERT_LE(test.arena->end(), 7 * kChunk);
  }
  EXPECT_GT(limit, 50);
}

// What a thread leaves that has unmapped a chunk, and mapped it again, and has
// not published it yet.
void IsAboutToPublish(Growing* test, size_t chunk) {
  test->arena->UnmapExcess(0);
  if (!Bitmap(test->claimed).Mark(chunk, 1)) return;
  EXPECT_EQ(os::FillHole(test->At(chunk * kChunk), kChunk * kUnit),
            os::Filled::kDone);
  test->used[chunk] = 0;
}

// At each instruction of one that unmaps, another takes units, grows, and
// unmaps as well.
TEST(ShrinkTest, AnotherActsAtAnyInstruction) {
  for (int other = 0; other < 5; ++other) {
    int steps = 1;
    for (int at = 1; at <= steps; at += 7 * Stepper::kStride) {
      SCOPED_TRACE(testing::Message() << other << " " << at);
      Growing test;
      Peak(test, 4, {});
      std::vector<::aomalloc::Run*> taken;
      Stepper::Run([&] { test.arena->UnmapExcess(kChunk); },
                   [&](int n) {
                     steps = n;
                     if (n != at) return;
                     if (other == 0) taken.push_back(TakeAndUse(test, 1));
                     if (other == 1) {
                       taken.push_back(TakeAndUse(test, 4 * kChunk));
                     }
                     if (other == 2) test.arena->UnmapExcess(0);
                     if (other == 4) IsAboutToPublish(&test, 3);
                     if (other == 3) {
                       ::aomalloc::Run* run = TakeAndUse(test, 3 * kChunk);
                       test.arena->Return(run, /*dirty=*/true);
                     }
                   });
      if (other == 4) Bitmap(test.mapped).Set(3, 1);
      for (int i = 0; i < 5; ++i) taken.push_back(TakeAndUse(test, kChunk));
      size_t units = 0;
      for (const ::aomalloc::Run* run : taken) {
        ASSERT_NE(run, nullptr);
        ASSERT_TRUE(test.arena->Contains(run->base));
        ASSERT_EQ(run->base[0], 1);
        units += run->units;
      }
      ASSERT_EQ(test.arena->used_units(), units);
      ASSERT_LE(test.arena->dirty_units(),
                test.arena->accessible_units() - units);
    }
    EXPECT_GT(steps, 50);
  }
}

// And the other way round: at each instruction of one that takes units, another
// unmaps, or unmaps and maps again.
TEST(ShrinkTest, UnmappedAtAnyInstruction) {
  for (const size_t count : {size_t{1}, kChunk, kChunk + 1}) {
    for (const bool again : {false, true}) {
      int steps = 1;
      for (int at = 1; at <= steps; at += 7 * Stepper::kStride) {
        SCOPED_TRACE(testing::Message() << count << " " << again << " " << at);
        Growing test;
        Peak(test, 4, {});
        ::aomalloc::Run* mine = nullptr;
        ::aomalloc::Run* theirs = nullptr;
        Stepper::Run([&] { mine = test.arena->Take(count, 1).run; },
                     [&](int n) {
                       steps = n;
                       if (n != at) return;
                       test.arena->UnmapExcess(0);
                       if (again) theirs = TakeAndUse(test, kChunk - 1);
                     });
        ASSERT_NE(mine, nullptr);
        for (size_t i = 0; i < count; ++i) mine->base[i * kUnit] = 2;
        if (again) {
          ASSERT_NE(theirs, nullptr);
          ASSERT_EQ(theirs->base[0], 1);
        }
        ASSERT_EQ(test.arena->used_units(), count + (again ? kChunk - 1 : 0));
      }
      EXPECT_GT(steps, 50);
    }
  }
}

#endif

}  // namespace
}  // namespace aomalloc
