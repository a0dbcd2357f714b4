// Mapped memory: given back to the system when purged.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <vector>

#include "core/arena/memory.h"
#include "core/base/os.h"
#include "core/base/os_memory.h"
#include "test/child.h"
#include "test/refuse.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own

constexpr size_t kUnit = memory::kMappedUnitBytes;

size_t ResidentPages(void* start, size_t bytes) {
  size_t count = 0;
  for (size_t at = 0; at < bytes; at += os::PageSize()) {
    unsigned char page = 0;  // and if its address was given back
    mincore(static_cast<char*>(start) + at, 1, &page);
    count += page & 1;
  }
  return count;
}

void LetPass(AO_t milliseconds) {
  const AO_t then = os::CoarseMilliseconds();
  while (os::CoarseMilliseconds() < then + milliseconds) {
  }
}

class PurgeTest : public testing::Test {
 protected:
  void SetUp() override { memory::EnableMmap(); }

  static memory::Grant Take(size_t bytes) {
    return memory::Take({bytes, bytes, 1});
  }

  // That what was learnt is forgotten after `pause`, though only a few runs are
  // returned.
  template <typename Pause>
  static void ExpectForgotten(Pause pause) {
    InChild([pause] {
      const auto take_and_return = [] {
        std::vector<Descriptor*> runs(4);
        for (Descriptor*& run : runs) run = Take(size_t{50} << 20).run;
        for (Descriptor* run : runs) memory::Return(run, /*dirty=*/true);
      };
      take_and_return();
      const Arena* arena = memory::MappedAt(0);
      // As above: on a busy machine it may not be learnt at once.
      const auto has_learnt = [&] {
        for (int round = 0; round < 8; ++round) take_and_return();
        return arena->dirty_units() * kUnit > size_t{100} << 20;
      };
      ASSERT_TRUE(Eventually(has_learnt));
      pause();
      take_and_return();
      EXPECT_LE(arena->dirty_units() * kUnit, size_t{10} << 20);
    });
  }
};

// After a peak little stays: its memory may not be wanted for long. (The first
// test: nothing is learnt yet.)
TEST_F(PurgeTest, LessStaysAfterAPeak) {
  InChild([] {
    constexpr size_t kPart = size_t{1} << 20;
    constexpr size_t kInUse = 40 * kPart;
    ASSERT_NE(Take(kInUse).run, nullptr);
    std::vector<Descriptor*> peak(200);
    for (Descriptor*& run : peak) run = Take(kPart).run;
    for (Descriptor* run : peak) memory::Return(run, /*dirty=*/true);
    // A fortieth, and twice 512 KiB.
    EXPECT_LE(memory::MappedAt(0)->dirty_units() * kUnit,
              kInUse / 40 + kPart + kUnit);
  });
}

// However rarely the clock is read by a program that returns memory often.
TEST_F(PurgeTest, APurgeThatIsDueComesSoon) {
  InChild([] {
    constexpr size_t kInUse = 256;
    Take(kInUse * kUnit);
    const Arena* arena = memory::MappedAt(0);
    // Between what may stay for long, 512 KiB and a tenth, and what may stay
    // for a moment, 512 KiB more.
    constexpr size_t kMayStay = 8 + kInUse / 10;
    std::vector<Descriptor*> excess(kMayStay + 5);
    for (Descriptor*& run : excess) run = Take(kUnit).run;
    for (Descriptor* run : excess) memory::Return(run, /*dirty=*/true);
    const auto TakeAndReturn = [](int count) {
      for (int i = 0; i < count; ++i) memory::Return(Take(kUnit).run, true);
    };
    TakeAndReturn(10000);
    LetPass(120);
    TakeAndReturn(64);
    EXPECT_LE(arena->dirty_units(), kMayStay);
  });
}

// So does one of much, where that has been learnt to stay for a moment.
TEST_F(PurgeTest, APurgeOfMuchThatIsDueComesSooner) {
  InChild([] {
    constexpr size_t kRun = 32;
    constexpr size_t kInUse = 64 * kRun;
    Take(kInUse * kUnit);
    const Arena* arena = memory::MappedAt(0);
    constexpr size_t kMayStay = 8 + kInUse / 10;
    std::vector<Descriptor*> excess(20);
    const auto TakeAndReturn = [](int count) {
      for (int i = 0; i < count; ++i) memory::Return(Take(kUnit).run, true);
    };
    // Nothing is learnt from what is wanted again only after 100 ms, nor does
    // it stay for longer than a second: on a busy machine that may happen.
    const auto has_learnt = [&] {
      for (int round = 0; round < 8; ++round) {
        for (Descriptor*& run : excess) run = Take(kRun * kUnit).run;
        for (Descriptor* run : excess) memory::Return(run, /*dirty=*/true);
      }
      TakeAndReturn(10000);
      return arena->dirty_units() > kMayStay + 64;
    };
    ASSERT_TRUE(Eventually(has_learnt));
    LetPass(1020);
    TakeAndReturn(8);
    EXPECT_LE(arena->dirty_units(), kMayStay);
  });
}

// What was purged after a peak is not all wanted again because some is.
TEST_F(PurgeTest, OnePeakAfterAnotherTeachesLittle) {
  InChild([] {
    constexpr size_t kPart = size_t{1} << 20;
    const auto peak = [](size_t parts) {
      std::vector<Descriptor*> runs(parts);
      for (Descriptor*& run : runs) run = Take(kPart).run;
      for (Descriptor* run : runs) memory::Return(run, /*dirty=*/true);
    };
    peak(500);
    peak(240);
    EXPECT_LE(memory::MappedAt(0)->dirty_units() * kUnit, 66 * kPart);
  });
}

TEST_F(PurgeTest, WhatWasLearntIsForgottenInTime) {
  ExpectForgotten([] { LetPass(1020); });
}

// Then it is 1 ms after the machine has started, for ever.
TEST_F(PurgeTest, WhatWasLearntIsForgottenIfTheClockIsRefused) {
  ExpectForgotten([] { Refuse(SYS_clock_gettime, EPERM); });
}

TEST_F(PurgeTest, TrimDropsThePagesOfFreeRuns) {
  constexpr size_t kBytes = size_t{12} << 20;  // several words of bits
  const memory::Grant taken = Take(kBytes);
  ASSERT_NE(taken.run, nullptr);
  EXPECT_TRUE(taken.zeroed);
  char* const address = taken.address();
  memset(address, 0xA5, kBytes);
  EXPECT_EQ(ResidentPages(address, kBytes), kBytes / os::PageSize());
  taken.arena->Return(taken.run, /*dirty=*/true);
  EXPECT_TRUE(memory::Trim());
  EXPECT_EQ(ResidentPages(address, kBytes), 0u);
  EXPECT_EQ(taken.arena->dirty_units(), 0u);

  const memory::Grant again = Take(kBytes);
  ASSERT_EQ(again.address(), address);
  EXPECT_TRUE(again.zeroed);
  EXPECT_TRUE(IsZero(address, kBytes));
  memory::Return(again.run, /*dirty=*/false);
  EXPECT_FALSE(memory::Trim()) << "nothing was written";
}

// Calloc of a large block in memory of which some was used before writes there,
// and nowhere else.
TEST_F(PurgeTest, ClearingLeavesCleanMemoryAlone) {
  constexpr size_t kClean = size_t{4} << 20;
  constexpr size_t kDirty = 5 * kUnit;
  memory::Trim();
  const memory::Grant taken = Take(kClean + kDirty);
  ASSERT_TRUE(taken.zeroed);
  char* const start = taken.address();
  ASSERT_TRUE(os::Purge(start, kClean));  // earlier tests have read there
  Descriptor* const dirty = taken.arena->Cut(taken.run, kClean / kUnit);
  memset(dirty->base, 1, kDirty);
  taken.arena->Return(taken.run, /*dirty=*/false);
  taken.arena->Return(dirty, /*dirty=*/true);

  constexpr size_t kBytes = kClean + kDirty - kUnit / 2;
  const memory::Grant again = Take(kClean + kDirty);
  ASSERT_EQ(again.address(), start);
  EXPECT_FALSE(again.zeroed);
  memory::ClearTaken(again.run, kBytes);
  EXPECT_EQ(ResidentPages(start, kClean), 0u);
  EXPECT_TRUE(IsZero(start, kBytes));
  EXPECT_EQ(start[kBytes], 1) << "that is beyond what was to be cleared";
  memory::Return(again.run, /*dirty=*/true);
}

TEST_F(PurgeTest, WhatIsToStayStaysAndTheRestGoesAtOnce) {
  InChild([] {
    constexpr size_t kBytes = size_t{20} << 20;
    // It goes by the word of bits.
    const auto ExpectDirty = [](size_t most) {
      const size_t dirty = memory::ArenaAt(1)->dirty_units() * kUnit;
      EXPECT_LE(dirty, most);
      EXPECT_GE(dirty + 64 * kUnit, most);
    };
    for (size_t allowed : {2 * kBytes, kBytes / 2}) {
      memory::Trim();
      purge::Allow(allowed);
      const memory::Grant taken = Take(kBytes);
      memory::Return(taken.run, /*dirty=*/true);
      ExpectDirty(allowed < kBytes ? allowed : kBytes);
    }
    EXPECT_TRUE(memory::Trim(kBytes / 4));
    ExpectDirty(kBytes / 4);
  });
}

TEST_F(PurgeTest, WhatIsTooLargeToBeKeptIsPurgedWhole) {
  constexpr size_t kBytes = size_t{1} << 30;
  const memory::Grant taken = Take(kBytes);
  ASSERT_NE(taken.run, nullptr);
  char* const address = taken.address();
  address[0] = address[kBytes - 1] = 1;
  const size_t dirty = taken.arena->dirty_units();
  memory::Return(taken.run, /*dirty=*/true);
  EXPECT_EQ(taken.arena->dirty_units(), dirty);
  const memory::Grant again = Take(kBytes);
  ASSERT_NE(again.run, nullptr);
  EXPECT_TRUE(again.zeroed);
  EXPECT_EQ(again.address()[0] + again.address()[kBytes - 1], 0);
  memory::Return(again.run, /*dirty=*/false);
}

TEST_F(PurgeTest, TrimLeavesRunsInUseAlone) {
  std::vector<memory::Grant> runs;
  for (size_t i = 0; i < 200; ++i) {
    runs.push_back(Take((i % 5 + 1) * kUnit));
    memset(runs[i].address(), static_cast<int>(i + 1), (i % 5 + 1) * kUnit);
  }
  for (size_t i = 0; i < 200; i += 3) {
    memory::Return(runs[i].run, true);
  }
  EXPECT_TRUE(memory::Trim());
  for (size_t i = 0; i < 200; ++i) {
    if (i % 3 == 0) continue;
    const char* address = runs[i].address();
    for (size_t j = 0; j < runs[i].run->units * kUnit; j += 512) {
      ASSERT_EQ(address[j], static_cast<char>(i + 1));
    }
    memory::Return(runs[i].run, true);
  }
}

TEST_F(PurgeTest, WhatIsFreedAndWantedAgainIsKeptForAMoment) {
  memory::Trim();  // or the moment may be over for what is free already
  const memory::Grant taken = Take(16 * kUnit);
  memset(taken.address(), 1, 16 * kUnit);
  memory::Return(taken.run, true);
  const memory::Grant again = Take(16 * kUnit);
  EXPECT_EQ(again.address(), taken.address());
  EXPECT_FALSE(again.zeroed);
  memory::Return(again.run, true);
}

// The program may go silent.
TEST_F(PurgeTest, MuchIsPurgedAtOnce) {
  constexpr size_t kBytes = size_t{64} << 20;
  memory::Trim();
  const memory::Grant taken = Take(kBytes);
  memset(taken.address(), 1, kBytes);
  memory::Return(taken.run, true);
  EXPECT_LE(ResidentPages(taken.address(), kBytes),
            (size_t{2} << 20) / os::PageSize());
}

// What is freed and taken over and over is not purged each time.
TEST_F(PurgeTest, HowMuchIsMuchIsLearnt) {
  // More than one run, which would be purged whole.
  for (size_t bytes : {size_t{8} << 20, size_t{60} << 20}) {
    EXPECT_TRUE(Eventually([&] {
      const memory::Grant first = Take(bytes);
      const memory::Grant second = Take(bytes);
      first.address()[0] = second.address()[0] = 1;
      memory::Return(first.run, true);
      memory::Return(second.run, true);
      return !first.zeroed && !second.zeroed;
    }));
  }
}

TEST_F(PurgeTest, ExcessIsPurgedAfterAWhile) {
  constexpr size_t kBytes = size_t{64} << 20;
  const memory::Grant taken = Take(kBytes);
  memset(taken.address(), 1, kBytes);
  memory::Return(taken.run, true);
  char* const address = taken.address();
  EXPECT_TRUE(Eventually([&] {
    const memory::Grant other = Take(kUnit);
    memory::Return(other.run, true);
    return ResidentPages(address, kBytes) <= (size_t{8} << 20) / os::PageSize();
  }));
}

// A purge by one thread while others take, write and return.
TEST_F(PurgeTest, PurgesAndWritersDoNotMeet) {
  InThreads(4, [](int id) {
    for (int i = 0; i < 20000; ++i) {
      if (id == 0) {
        memory::Trim();
        continue;
      }
      const size_t bytes = (1 + static_cast<size_t>(i) % 7) * kUnit;
      const memory::Grant taken = Take(bytes);
      auto* words = reinterpret_cast<uint64_t*>(taken.address());
      for (size_t w = 0; w < bytes / 8; w += 512) {
        if (taken.zeroed) {
          ASSERT_EQ(words[w], 0u);
        }
        words[w] = static_cast<uint64_t>(id) << 32 | static_cast<uint64_t>(i);
      }
      for (size_t w = 0; w < bytes / 8; w += 512) {
        ASSERT_EQ(words[w],
                  static_cast<uint64_t>(id) << 32 | static_cast<uint64_t>(i));
      }
      memory::Return(taken.run, true);
    }
  });
}

}  // namespace
}  // namespace aomalloc
