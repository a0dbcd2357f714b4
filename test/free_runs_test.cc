// The search for free units: against a search unit by unit; what it costs; and
// hints that never exclude what there is, whatever happens at the same time.
#include "core/arena/free_runs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <tuple>
#include <vector>

#include "core/arena/arena.h"
#include "test/growing.h"
#include "test/step.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own

constexpr size_t kGroup = FreeHints::kGroupUnits;
constexpr int kShift = 12;

bool IsFree(const Arena& arena, size_t unit) {
  return arena.IsAccessible(unit) && !arena.InUse(unit);
}

size_t AlignmentOf(const Arena& arena, size_t hint) {
  return arena.unit_bytes() << hint;
}

bool IsAligned(const Arena& arena, size_t unit, size_t alignment) {
  return reinterpret_cast<uintptr_t>(arena.base() + unit * arena.unit_bytes()) %
             alignment ==
         0;
}

// The lowest run, by a look at each unit; FreeRuns::kNone if there is none.
size_t Lowest(const Arena& arena, size_t count, size_t alignment) {
  size_t free = 0;
  for (size_t unit = arena.end(); unit-- > 0;) {
    // From here on, that many.
    free = IsFree(arena, unit) ? free + 1 : 0;
    if (free < count) continue;
    size_t lowest = FreeRuns::kNone;
    size_t run = 0;
    for (size_t at = 0; at < arena.end(); ++at) {
      run = IsFree(arena, at) ? run + 1 : 0;
      if (run < count) continue;
      const size_t start = at + 1 - count;
      if (!IsAligned(arena, start, alignment)) continue;
      lowest = start;
      break;
    }
    return lowest;
  }
  return FreeRuns::kNone;
}

// That no hint excludes what there is.
void CheckHints(const Arena& arena, AtomicWord* words) {
  const FreeHints hints(words);
  const size_t groups = FreeHints::WordsFor(arena.units()) / FreeHints::kHints;
  std::vector<size_t> most(groups * FreeHints::kAlignments);
  size_t free = 0;
  for (size_t unit = arena.end(); unit-- > 0;) {
    free = IsFree(arena, unit) ? free + 1 : 0;
    const size_t run = free < FreeHints::kMost ? free : FreeHints::kMost;
    for (size_t hint = 0; hint < FreeHints::kAlignments; ++hint) {
      if (!IsAligned(arena, unit, AlignmentOf(arena, hint))) break;
      size_t& m = most[unit / kGroup * FreeHints::kAlignments + hint];
      if (run > m) m = run;
    }
    if (IsFree(arena, unit) && arena.IsDirty(unit)) {
      ASSERT_NE(hints.Most(unit / kGroup, FreeHints::kDirty), 0u) << unit;
    }
  }
  for (size_t group = 0; group < groups; ++group) {
    for (size_t hint = 0; hint < FreeHints::kAlignments; ++hint) {
      ASSERT_GE(hints.Most(group, hint),
                most[group * FreeHints::kAlignments + hint])
          << "group " << group << ", hint " << hint;
    }
  }
}

// An arena of several groups. Nobody touches its memory, so it has none.
template <size_t kSize>
struct WideArena {
  static constexpr size_t kWords = kSize / 64;
  explicit WideArena(size_t base = size_t{1} << 40)
      : arena(reinterpret_cast<char*>(base), kSize, kShift, table, used, dirty,
              hints, kSize) {}
  // Sets the bits of all words.
  void Use(AO_t bits) {
    for (AtomicWord& word : used) StoreRelaxed(&word, bits);
  }
  Descriptor table[kSize] = {};
  AtomicWord used[kWords] = {};
  AtomicWord dirty[kWords] = {};
  AtomicWord hints[Arena::HintsFor(kSize)] = {};
  Arena arena;
};

TEST(FreeHintsTest, WhatIsRaisedMeanwhileIsNotLowered) {
  AtomicWord words[FreeHints::WordsFor(2 * kGroup)] = {};
  FreeHints hints(words);
  EXPECT_EQ(hints.Most(1, 0), 64u);
  AO_t begun = hints.BeginLowering(1, 0);
  EXPECT_EQ(hints.Most(1, 0), 64u);
  hints.Lower(1, 0, begun, 3);
  EXPECT_EQ(hints.Most(1, 0), 3u);
  EXPECT_EQ(hints.Most(0, 0), 64u);
  EXPECT_EQ(hints.Most(1, 1), 64u);
  hints.Raise(1, 0, 3);
  EXPECT_EQ(hints.Most(1, 0), 3u);
  hints.Raise(1, 0, 5);
  EXPECT_EQ(hints.Most(1, 0), 5u);
  begun = hints.BeginLowering(1, 0);
  hints.Raise(1, 0, 1);
  hints.Lower(1, 0, begun, 0);
  EXPECT_EQ(hints.Most(1, 0), 64u);
  // One that stopped on the way is in nobody's way.
  begun = hints.BeginLowering(1, 0);
  const AO_t later = hints.BeginLowering(1, 0);
  hints.Lower(1, 0, begun, 0);
  EXPECT_EQ(hints.Most(1, 0), 64u);
  hints.Lower(1, 0, later, 7);
  EXPECT_EQ(hints.Most(1, 0), 7u);
}

// Of runs of all lengths, where the base of the arena is aligned to nothing.
TEST(FreeRunsTest, FindsTheLowestRun) {
  using Wide = WideArena<2 * kGroup + 192>;
  const auto wide = std::make_unique<Wide>((size_t{1} << 40) + 5 * 4096);
  Arena& arena = wide->arena;
  std::vector<Descriptor*> held;
  Random random(7);
  int full = 0;
  for (int step = 0; step < 6000; ++step) {
    // Full of short runs first, then of ever longer holes.
    const bool takes = held.empty() || random.Below(10) < (step < 2500 ? 9 : 5);
    if (takes) {
      const size_t count =
          1 + random.SkewedBelow(random.Below(20) == 0 ? 900 : 70);
      const size_t alignment =
          random.Below(3) == 0 ? size_t{4096} << random.Below(9) : size_t{1};
      const size_t expected = Lowest(arena, count, alignment);
      Descriptor* run = arena.Take(count, alignment).run;
      if (expected == FreeRuns::kNone) {
        ASSERT_EQ(run, nullptr) << step;
        ++full;
      } else {
        ASSERT_EQ(run, wide->table + expected) << step;
        held.push_back(run);
      }
    } else {
      Descriptor*& run = held[random.Below(held.size())];
      switch (random.Below(6)) {
        case 0:
          arena.Extend(run, run->units + random.Below(70));
          break;
        case 1:
          if (run->units > 1) {
            arena.Return(arena.Cut(run, 1 + random.Below(run->units - 1)),
                         true);
          }
          break;
        default:
          arena.Return(run, random.Below(2) == 0);
          run = held.back();
          held.pop_back();
      }
    }
    if (step % 100 == 0) CheckHints(arena, wide->hints);
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(full, 100);
}

// Chunks come and go, and units are purged.
TEST(FreeRunsTest, FindsTheLowestRunOfMemoryThatGrowsAndShrinks) {
  Growing test;
  Arena& arena = *test.arena;
  std::vector<Descriptor*> held;
  Random random(8);
  size_t grown = 0;
  size_t shrunk = 0;
  for (int step = 0; step < 3000; ++step) {
    if (held.empty() || random.Below(20) < (step % 1000 < 500 ? 13u : 8u)) {
      const size_t count = 1 + random.SkewedBelow(300);
      const size_t alignment = kUnit << random.Below(4);
      const size_t expected = Lowest(arena, count, alignment);
      const size_t there = arena.accessible_units();
      Descriptor* run = arena.Take(count, alignment).run;
      ASSERT_NE(run, nullptr);
      if (expected == FreeRuns::kNone) {
        ASSERT_GT(arena.accessible_units(), there) << step;
        ++grown;
      } else {
        ASSERT_EQ(run, test.table + expected) << step;
      }
      held.push_back(run);
    } else {
      Descriptor*& run = held[random.Below(held.size())];
      // The memory is zero all the same.
      arena.Return(run, random.Below(2) == 0);
      run = held.back();
      held.pop_back();
    }
    if (step % 50 == 0) {
      const size_t there = arena.accessible_units();
      arena.PurgeExcess(random.Below(100));
      arena.UnmapExcess(arena.used_units());
      if (arena.accessible_units() < there) ++shrunk;
      CheckHints(arena, test.hints);
    }
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(grown, 20u);
  EXPECT_GT(shrunk, 20u);
}

TEST(FreeRunsTest, HintsHoldWhenThreadsAreDone) {
  using Wide = WideArena<2 * kGroup>;
  const auto wide = std::make_unique<Wide>();
  Arena& arena = wide->arena;
  std::vector<Descriptor*> all[4];
  for (int round = 0; round < 20; ++round) {
    InThreads(4, [&](int id) {
      Random random(static_cast<uint64_t>(4 * round + id));
      std::vector<Descriptor*>& held = all[id];
      for (int step = 0; step < 3000; ++step) {
        if (held.size() < 60 && random.Below(2) == 0) {
          const size_t alignment = size_t{4096} << random.Below(7);
          Descriptor* run =
              arena.Take(1 + random.SkewedBelow(120), alignment).run;
          if (run != nullptr) held.push_back(run);
        } else if (!held.empty()) {
          Descriptor*& run = held[random.Below(held.size())];
          arena.Return(run, random.Below(2) == 0);
          run = held.back();
          held.pop_back();
        }
      }
    });
    CheckHints(arena, wide->hints);
    if (testing::Test::HasFatalFailure()) return;
  }
}

#if defined(__x86_64__) && defined(__OPTIMIZE__)

// The instructions of `f`.
template <typename F>
int InstructionsOf(F f) {
  int steps = 0;
  Stepper::Run(f, [&](int n) { steps = n; });
  return steps;
}

// Those of a request in an arena of kSize units that is full of holes, and has
// room at its end only. The first such request may look at all of it.
template <size_t kSize>
int ToPassHoles(AO_t used, size_t count, size_t alignment) {
  const auto wide = std::make_unique<WideArena<kSize>>();
  wide->Use(used);
  for (size_t i = 1; i <= 4; ++i) wide->used[kSize / 64 - i] = 0;
  Descriptor* run = wide->arena.Take(count, alignment).run;
  EXPECT_GE(run, wide->table + kSize - 288);
  wide->arena.Return(run, true);
  Descriptor* again = nullptr;
  const int steps =
      InstructionsOf([&] { again = wide->arena.Take(count, alignment).run; });
  EXPECT_EQ(again, run);
  return steps + InstructionsOf([&] { wide->arena.Return(again, true); });
}

TEST(FreeRunsTest, HolesAreNotLookedAt) {
  constexpr AO_t kOddUnits = ~AO_t{0} / 3;        // 32 holes in a word
  constexpr AO_t kUnaligned = 1 | AO_t{1} << 32;  // two of 31 units
  constexpr size_t kMany = 15 * kGroup;           // 30,720 holes
  for (const auto& [used, count, alignment] :
       {std::tuple<AO_t, size_t, size_t>{kOddUnits, 2, 1},
        {kOddUnits, 20, 1},
        {kOddUnits, 200, 1},
        {kOddUnits, 2, 65536},
        {kUnaligned, 2, 32 * 4096},
        {kUnaligned, 2, 256 * 4096},
        {kUnaligned, 32, 1}}) {
    SCOPED_TRACE(testing::Message() << count << " aligned to " << alignment);
    const int few = ToPassHoles<kGroup>(used, count, alignment);
    const int many = ToPassHoles<kMany>(used, count, alignment);
    const int more = ToPassHoles<4 * kMany>(used, count, alignment);
    EXPECT_LT(many, 12000);
    EXPECT_LT(many - few, 15 * 30);
    EXPECT_LT(more - many, 45 * 30);
  }
}

// The dirty unit is where a purge comes last.
TEST(FreeRunsTest, APurgeLooksAtWhatIsDirtyOnly) {
  const auto steps = [](size_t count) {
    Growing test;
    Descriptor* run = TakeAndUse(test, 1);
    test.arena->Take(count, 1);
    int last = 0;
    for (int i = 0; i < 3; ++i) {
      test.arena->Return(run, true);
      last = InstructionsOf([&] { test.arena->PurgeExcess(0); });
      EXPECT_EQ(test.arena->dirty_units(), 0u);
      run = TakeAndUse(test, 1);
    }
    return last;
  };
  const int few = steps(kGroup - 1);
  EXPECT_LT(few, 12000);
  EXPECT_LT(steps(15 * kGroup - 1) - few, 14 * 30);
}

#endif
#if defined(__x86_64__)

// An arena of two words, whose hints are of no use but must be right.
struct SmallArena {
  static constexpr size_t kUnits = 128;
  Descriptor table[kUnits] = {};
  AtomicWord used[2] = {};
  AtomicWord dirty[2] = {};
  AtomicWord hints[Arena::HintsFor(kUnits)] = {};
  Arena arena{reinterpret_cast<char*>(size_t{1} << 40),
              kUnits,
              kShift,
              table,
              used,
              dirty,
              hints,
              kUnits};
};

// A search has many instructions. These are enough to meet each of its steps.
constexpr int kSome = 13;

// What one thread does while another is at any instruction of something else.
class FreeRunsStepTest : public testing::Test {
 protected:
  // Units 10 to 69 and 70 to 100 are two runs, the rest is in use except 111.
  void SetUp() override {
    test_ = std::make_unique<SmallArena>();
    Arena& arena = test_->arena;
    low_ = arena.Take(10, 1).run;
    first_ = arena.Take(60, 1).run;
    second_ = arena.Take(31, 1).run;
    arena.Take(10, 1);
    Descriptor* hole = arena.Take(1, 1).run;
    arena.Take(16, 1);
    arena.Return(hole, false);
  }
  template <typename F, typename G>
  void AtInstructions(int stride, F one, G other) {
    int steps = 1;
    for (int at = 1; at <= steps; at += stride * Stepper::kStride) {
      SetUp();
      Stepper::Run([&] { one(); },
                   [&](int n) {
                     steps = std::max(steps, n);
                     if (n == at) other();
                   });
      SCOPED_TRACE(testing::Message() << "after " << at << " instructions");
      CheckHints(test_->arena, test_->hints);
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(steps, 40);
  }

  std::unique_ptr<SmallArena> test_;
  Descriptor* low_;
  Descriptor* first_;
  Descriptor* second_;
};

TEST_F(FreeRunsStepTest, OneSearchesInVainOneReturns) {
  const auto search = [&] { test_->arena.Take(50, 1); };
  const auto give = [&] { test_->arena.Return(first_, true); };
  AtInstructions(kSome, search, give);
  AtInstructions(5, give, search);
}

TEST_F(FreeRunsStepTest, TwoReturnNeighbours) {
  const auto one = [&] { test_->arena.Return(first_, false); };
  const auto other = [&] {
    test_->arena.Take(80, 1);  // lowers the hint, if it may
    test_->arena.Return(second_, false);
  };
  AtInstructions(5, one, other);
}

TEST_F(FreeRunsStepTest, OneSearchesInVainOneFailsToTake) {
  AtInstructions(
      kSome,
      [&] {
        // The second word is taken: the first is let go again.
        test_->arena.Return(first_, false);
        EXPECT_FALSE(test_->arena.Extend(low_, 10 + 90));
      },
      [&] { test_->arena.Take(61, 1); });
}

// Whoever stops loses what it had in hand, and hides nothing when memory is
// wanted badly.
TEST_F(FreeRunsStepTest, WhoStopsWhileItReturnsHidesNothing) {
  for (int limit = 1;; limit += 3 * Stepper::kStride) {
    SetUp();
    Arena& arena = test_->arena;
    arena.Take(50, 1);  // lowers the hint
    arena.Return(second_, false);
    const bool stopped =
        Stepper::Abandon([&] { arena.Return(first_, false); }, limit);
    const size_t expected = Lowest(arena, 50, 1);
    Descriptor* run = arena.Take(50, 1).run;
    ASSERT_EQ(run,
              expected == FreeRuns::kNone ? nullptr : test_->table + expected)
        << "after " << limit << " instructions";
    if (!stopped) break;
  }
}

// A stopped search leaves hints that others lower.
TEST_F(FreeRunsStepTest, WhoStopsWhileItSearchesIsInNobodysWay) {
  for (int limit = 1;; limit += kSome * Stepper::kStride) {
    SetUp();
    Arena& arena = test_->arena;
    const bool stopped = Stepper::Abandon([&] { arena.Take(50, 1); }, limit);
    EXPECT_EQ(arena.Take(50, 1).run, nullptr);
    ASSERT_EQ(FreeHints(test_->hints).Most(0, 0), 1u) << limit;
    arena.Return(first_, true);
    ASSERT_EQ(arena.Take(50, 1).run, first_);
    if (!stopped) break;
  }
}

#endif

}  // namespace
}  // namespace aomalloc
