// Arenas over static memory, against a model, and over mapped memory.
#include "core/arena/arena.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <vector>

#include "core/arena/memory.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own

constexpr int kShift = 12;
constexpr size_t kUnit = size_t{1} << kShift;
constexpr size_t kUnits = 5 * 64 - 20;  // the last word of bits is not full
constexpr size_t kWords = 5;

// Aligned here: not every loader aligns as much.
constexpr size_t kBytes = kUnits * kUnit;
constexpr size_t kMiB = size_t{1} << 20;
char space[kBytes + kMiB];
char* const memory_of_arena =
    space + (kMiB - reinterpret_cast<uintptr_t>(space) % kMiB);

// An arena of its own for each test.
struct TestArena {
  Run table[kUnits] = {};
  AtomicWord used[kWords] = {};
  AtomicWord dirty[kWords] = {};
  AtomicWord hints[Arena::HintsFor(kUnits)] = {};
  Arena arena{memory_of_arena, kUnits, kShift, table, used,
              dirty,           hints,  kUnits};

  size_t Index(const Descriptor* run) const {
    return static_cast<size_t>(run - table);
  }
};

class ArenaTest : public testing::Test {
 protected:
  TestArena test_;
  Arena& arena_ = test_.arena;
};

TEST_F(ArenaTest, HandsOutEachUnitOnce) {
  std::vector<bool> seen(kUnits);
  for (size_t i = 0; i < kUnits; ++i) {
    const Arena::Taken taken = arena_.Take(1, 1);
    ASSERT_NE(taken.run, nullptr);
    ASSERT_TRUE(arena_.Owns(taken.run));
    ASSERT_FALSE(seen[test_.Index(taken.run)]);
    seen[test_.Index(taken.run)] = true;
    EXPECT_EQ(arena_.UnitAt(arena_.AddressOf(taken.run)), taken.run);
    EXPECT_EQ(arena_.UnitAt(arena_.AddressOf(taken.run) + kUnit - 1),
              taken.run);
    EXPECT_TRUE(taken.zeroed);
    EXPECT_EQ(taken.run->units, 1u);
  }
  EXPECT_EQ(arena_.Take(1, 1).run, nullptr);
  EXPECT_EQ(arena_.used_units(), kUnits);
}

TEST_F(ArenaTest, KnowsItsAddresses) {
  EXPECT_TRUE(arena_.Contains(memory_of_arena));
  EXPECT_TRUE(arena_.Contains(memory_of_arena + kBytes - 1));
  EXPECT_FALSE(arena_.Contains(memory_of_arena + kBytes));
  volatile size_t one = 1;
  EXPECT_FALSE(arena_.Contains(memory_of_arena - one));
  EXPECT_FALSE(arena_.Contains(nullptr));
  EXPECT_FALSE(arena_.Owns(test_.table + kUnits));
  EXPECT_EQ(arena_.UnitsFor(0), 0u);
  EXPECT_EQ(arena_.UnitsFor(1), 1u);
  EXPECT_EQ(arena_.UnitsFor(kUnit), 1u);
  EXPECT_EQ(arena_.UnitsFor(kUnit + 1), 2u);
  EXPECT_EQ(arena_.UnitsFor(SIZE_MAX), (SIZE_MAX >> kShift) + 1);
}

TEST_F(ArenaTest, TakesAllOfItAtOnceAndNotMore) {
  EXPECT_EQ(arena_.Take(kUnits + 1, 1).run, nullptr);
  EXPECT_EQ(arena_.Take(~size_t{0}, 1).run, nullptr);
  const Arena::Taken taken = arena_.Take(kUnits, 1);
  ASSERT_NE(taken.run, nullptr);
  EXPECT_EQ(arena_.Take(1, 1).run, nullptr);
  arena_.Return(taken.run, false);
  EXPECT_EQ(arena_.used_units(), 0u);
  EXPECT_NE(arena_.Take(kUnits, 1).run, nullptr);
}

TEST_F(ArenaTest, AlignsRuns) {
  arena_.Take(1, 1);  // so that the first units do not fit by chance
  for (size_t alignment = kUnit; alignment <= 1 << 19; alignment *= 2) {
    const Arena::Taken taken = arena_.Take(3, alignment);
    ASSERT_NE(taken.run, nullptr) << alignment;
    EXPECT_EQ(
        reinterpret_cast<uintptr_t>(arena_.AddressOf(taken.run)) % alignment,
        0u);
  }
  EXPECT_EQ(arena_.Take(1, size_t{1} << 62).run, nullptr);
}

TEST_F(ArenaTest, GrowsIntoWhatIsFreeOnly) {
  Descriptor* run = arena_.Take(10, 1).run;
  Descriptor* next = arena_.Take(70, 1).run;
  ASSERT_EQ(next, run + 10);
  EXPECT_FALSE(arena_.Extend(run, 11));
  EXPECT_EQ(run->units, 10u);
  EXPECT_EQ(arena_.used_units(), 80u);
  arena_.Return(next, true);
  EXPECT_TRUE(arena_.Extend(run, 150));  // across two words
  EXPECT_EQ(run->units, 150u);
  EXPECT_EQ(arena_.dirty_units(), 0u) << "what it grew into is its own now";
  EXPECT_FALSE(arena_.Extend(run, kUnits + 1));
  arena_.Return(arena_.Cut(run, 5), true);
  EXPECT_EQ(run->units, 5u);
  EXPECT_EQ(arena_.used_units(), 5u);
  EXPECT_EQ(arena_.dirty_units(), 145u);
  EXPECT_TRUE(arena_.InUse(4));
  EXPECT_FALSE(arena_.InUse(5));
}

// A failed claim of several words must give the lower ones back.
TEST_F(ArenaTest, AFailedGrowthLeavesNothingClaimed) {
  Descriptor* run = arena_.Take(10, 1).run;
  Descriptor* middle = arena_.Take(150, 1).run;
  Descriptor* last = arena_.Take(10, 1).run;
  arena_.Return(middle, false);
  EXPECT_FALSE(arena_.Extend(run, 165));
  for (size_t unit = 10; unit < 160; ++unit) ASSERT_FALSE(arena_.InUse(unit));
  EXPECT_EQ(last, run + 160);
}

// Every unit is looked at after every operation.
TEST_F(ArenaTest, AgreesWithAModel) {
  struct Held {
    Descriptor* run;
    size_t start, count;
  };
  std::vector<Held> held;
  std::vector<bool> used(kUnits), dirty(kUnits);
  const auto set = [](std::vector<bool>& bits, size_t start, size_t n,
                      bool value) {
    for (size_t i = start; i < start + n; ++i) bits[i] = value;
  };
  const auto any = [](const std::vector<bool>& bits, size_t start, size_t n) {
    for (size_t i = start; i < start + n; ++i) {
      if (bits[i]) return true;
    }
    return false;
  };
  Random random(42);
  for (int step = 0; step < 20000; ++step) {
    const size_t choice = random.Below(10);
    if (choice < 5) {
      const size_t count = 1 + random.SkewedBelow(150);
      const size_t align_units = size_t{1} << random.Below(6);
      const Arena::Taken taken = arena_.Take(count, align_units * kUnit);
      if (taken.run == nullptr) {
        for (size_t s = 0; s + count <= kUnits; s += align_units) {
          ASSERT_TRUE(any(used, s, count)) << "there was room at " << s;
        }
      } else {
        const size_t start = test_.Index(taken.run);
        ASSERT_EQ(start % align_units, 0u);
        ASSERT_LE(start + count, kUnits);
        ASSERT_FALSE(any(used, start, count));
        ASSERT_EQ(taken.zeroed, !any(dirty, start, count));
        ASSERT_EQ(taken.run->units, count);
        set(used, start, count, true);
        set(dirty, start, count, false);
        held.push_back({taken.run, start, count});
      }
    } else if (!held.empty()) {
      const size_t index = random.Below(held.size());
      Held& h = held[index];
      if (choice < 8) {
        const bool soiled = random.Below(2) == 0;
        arena_.Return(h.run, soiled);
        ASSERT_EQ(h.run->kind, RunKind::kFree);
        set(used, h.start, h.count, false);
        if (soiled) set(dirty, h.start, h.count, true);
        held[index] = held.back();
        held.pop_back();
      } else {
        const size_t count = 1 + random.SkewedBelow(150);
        const bool fits = count <= h.count ||
                          (h.start + count <= kUnits &&
                           !any(used, h.start + h.count, count - h.count));
        if (count < h.count) {
          arena_.Return(arena_.Cut(h.run, count), true);
        } else {
          ASSERT_EQ(arena_.Extend(h.run, count), fits);
        }
        if (!fits) continue;
        set(used, h.start, h.count, false);
        if (count < h.count) {
          set(dirty, h.start + count, h.count - count, true);
        } else {
          set(dirty, h.start, count, false);
        }
        set(used, h.start, count, true);
        h.count = count;
      }
    }
    size_t used_count = 0, dirty_count = 0;
    for (size_t i = 0; i < kUnits; ++i) {
      ASSERT_EQ(arena_.InUse(i), used[i]) << i;
      used_count += used[i];
      dirty_count += dirty[i];
    }
    ASSERT_EQ(arena_.used_units(), used_count);
    ASSERT_EQ(arena_.dirty_units(), dirty_count);
  }
}

TEST_F(ArenaTest, ThreadsNeverShareAUnit) {
  static std::atomic<int> owner[kUnits];
  std::atomic<int> taken_runs{0};
  InThreads(6, [&](int id) {
    Random random(static_cast<uint64_t>(id));
    std::vector<Descriptor*> held;
    const auto own = [&](size_t start, size_t end, int from, int to) {
      for (size_t i = start; i < end; ++i) {
        ASSERT_EQ(owner[i].exchange(to), from);
      }
    };
    for (int step = 0; step < 100000; ++step) {
      if (held.size() < 4 && random.Below(2) == 0) {
        Descriptor* run = arena_.Take(1 + random.SkewedBelow(140), 1).run;
        if (run == nullptr) continue;
        ++taken_runs;
        own(test_.Index(run), test_.Index(run) + run->units, 0, id + 1);
        held.push_back(run);
      } else if (!held.empty()) {
        const size_t start = test_.Index(held.back());
        const size_t old = held.back()->units;
        const size_t count = 1 + random.SkewedBelow(140);
        if (count > old && random.Below(2) == 0) {
          if (arena_.Extend(held.back(), count)) {
            own(start + old, start + count, 0, id + 1);
          }
          continue;
        }
        own(start, start + old, id + 1, 0);
        arena_.Return(held.back(), random.Below(2) == 0);
        held.pop_back();
      }
    }
    for (Descriptor* run : held) {
      own(test_.Index(run), test_.Index(run) + run->units, id + 1, 0);
      arena_.Return(run, true);
    }
  });
  EXPECT_GT(taken_runs, 50000);
  EXPECT_EQ(arena_.used_units(), 0u);
  for (size_t i = 0; i < kUnits; ++i) EXPECT_FALSE(arena_.InUse(i));
  EXPECT_NE(arena_.Take(kUnits, 1).run, nullptr) << "something was lost";
}

}  // namespace
}  // namespace aomalloc
