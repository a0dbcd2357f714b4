// How many free runs caches keep: each as many as its heap takes again, and all
// together no more than there are places for. An abandoned operation does not
// lose a place.
#include "core/heap/run_cache.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "core/arena/memory.h"
#include "test/child.h"
#include "test/step.h"

namespace aomalloc {
namespace {

Run* TakeRun(size_t units = 1) {
  return memory::Take({units * memory::kMappedUnitBytes,
                       units * memory::kStaticUnitBytes, 1})
      .run;
}

// How many of a hundred new caches may keep a run, beyond those that may
// because of what is in use. They give up the right.
int CountThatMayKeep() {
  std::vector<std::unique_ptr<RunCache>> caches;
  size_t count = 0;
  Run* run = TakeRun();
  for (int i = 0; i < 100; ++i) {
    RunCache& cache = *caches.emplace_back(std::make_unique<RunCache>());
    if (!cache.Keep(run)) continue;
    ++count;
    run = cache.Take(1);
  }
  const size_t in_use = memory::MappedAt(0)->used_units();
  memory::Return(run, /*dirty=*/true);
  for (const auto& cache : caches) cache->GiveUp();
  return static_cast<int>(count - in_use / (16 * RunCache::kUnitsAPlace));
}

// What a heap does with its cache: it takes runs of one unit, kept ones first,
// and gives them up again in the same order.
struct Program {
  // Returns how many were kept.
  int Take(int count) {
    int kept = 0;
    for (int i = 0; i < count; ++i) {
      Run* run = cache.Take(1);
      if (run != nullptr) {
        ++kept;
      } else {
        run = TakeRun();
      }
      runs.push_back(run);
    }
    return kept;
  }
  void Give() {
    for (Run* run : runs) {
      if (!cache.Keep(run)) memory::Return(run, /*dirty=*/true);
    }
    runs.clear();
  }
  // How many are kept when `count` are taken and given up over and over.
  int Repeat(int count) {
    for (int round = 0; round < 4; ++round) {
      Take(count);
      Give();
    }
    const int kept = Take(count);
    Give();
    return kept;
  }

  RunCache cache;
  std::vector<Run*> runs;
};

constexpr int kUsual = RunCache::kMaxUnits;
constexpr int kMost = RunCache::kMostUnits;

TEST(RunCacheTest, SomeCachesMayKeepRuns) {
  InChild([] {
    memory::EnableMmap();
    EXPECT_EQ(CountThatMayKeep(), 64);
    EXPECT_EQ(CountThatMayKeep(), 64);
  });
}

TEST(RunCacheTest, TheOldestHalfGoesWhenItIsFull) {
  InChild([] {
    memory::EnableMmap();
    Program program;
    program.Take(kUsual + 1);
    const auto given = program.runs;
    program.Give();
    EXPECT_EQ(program.Take(kUsual), kUsual / 2 + 1);
    for (int i = 0; i < kUsual / 2 + 1; ++i) {
      EXPECT_EQ(program.runs[i], given[kUsual - i]);
    }
  });
}

TEST(RunCacheTest, ItGrowsWhenWhatWentIsTakenAgain) {
  InChild([] {
    memory::EnableMmap();
    for (const int count : {kUsual, kUsual + 1, 25, 49}) {
      Program program;
      EXPECT_EQ(program.Repeat(count), count);
      program.cache.GiveUp();
    }
    // Where that would not be enough, it stays as it is.
    Program program;
    EXPECT_LE(program.Repeat(2 * kMost), kUsual);
    // Nor is there evidence in memory that is used once.
    Program another;
    another.Take(8 * kMost);
    another.Give();
    EXPECT_LE(another.Take(kMost), kUsual);
  });
}

TEST(RunCacheTest, ItDoesNotGrowWhereMemoryIsScarce) {
  InChild([] {
    Program program;
    EXPECT_LE(program.Repeat(25), kUsual);
  });
}

// However much the first ones take, sixteen get something.
TEST(RunCacheTest, SomePlacesAreLeftForOthers) {
  InChild([] {
    memory::EnableMmap();
    for (const int count : {kUsual, kMost}) {
      std::vector<std::unique_ptr<Program>> programs;
      int sharers = 0;
      for (int i = 0; i < 100; ++i) {
        Program& program = *programs.emplace_back(std::make_unique<Program>());
        if (program.Repeat(count) != 0) ++sharers;
      }
      EXPECT_GE(sharers, 16);
      EXPECT_LE(sharers, 64);
      for (const auto& program : programs) program->cache.GiveUp();
    }
  });
}

// With much memory in use, more caches may, up to a limit.
TEST(RunCacheTest, MoreMayWithMoreMemoryInUse) {
  InChild([] {
    memory::EnableMmap();
    memory::Take({size_t{64} << 20, 1 << 20, 1});
    EXPECT_EQ(CountThatMayKeep(), 64);
    memory::Take({size_t{16} << 30, 1 << 20, 1});
    Program program;
    EXPECT_EQ(program.Repeat(kMost), kMost);
  });
}

#if defined(__x86_64__)

TEST(RunCacheTest, AnAbandonedOperationDoesNotLoseTheRight) {
  InChild([] {
    memory::EnableMmap();
    for (const bool gives_up : {false, true}) {
      int limit = 0;
      bool abandoned = true;
      while (abandoned) {
        auto* cache = new RunCache;  // its address is not used again
        auto* run = TakeRun(2 * RunCache::kUnitsAPlace);
        if (gives_up) {
          ASSERT_TRUE(cache->Keep(run));
        }
        abandoned = Stepper::Abandon(
            [&] { gives_up ? cache->GiveUp() : void(cache->Keep(run)); },
            limit += 5 * Stepper::kStride);
        cache->Recount();
        cache->GiveUp();
        ASSERT_EQ(CountThatMayKeep(), 64) << "after " << limit;
      }
      EXPECT_GT(limit, 10);
    }
  });
}

// Who finds that all places are taken may have stopped while they are given up.
TEST(RunCacheTest, NoPlaceIsLostToWhoSearchedMeanwhile) {
  InChild([] {
    memory::EnableMmap();
    const int most = CountThatMayKeep();
    int steps = 0;
    for (int n = 1; n == 1 || n <= steps + Stepper::kStride;
         n += Stepper::kStride) {
      std::vector<std::unique_ptr<RunCache>> caches;
      auto* run = TakeRun();
      const auto keep = [&run](RunCache* cache) {
        if (!cache->Keep(run)) return false;
        run = cache->Take(1);
        return true;
      };
      do {
        caches.push_back(std::make_unique<RunCache>());
      } while (keep(caches.back().get()));
      caches.pop_back();
      // So that it is not known that all are taken.
      caches.back()->GiveUp();
      ASSERT_TRUE(keep(caches.back().get()));
      RunCache late;
      bool kept = false;
      Stepper::Run([&] { kept = late.Keep(run); },
                   [&](int step) {
                     steps = step;
                     if (step != n) return;
                     for (const auto& cache : caches) cache->GiveUp();
                   });
      if (kept) run = late.Take(1);
      late.GiveUp();
      memory::Return(run, /*dirty=*/true);
      for (const auto& cache : caches) cache->GiveUp();
      ASSERT_EQ(CountThatMayKeep(), most) << "stopped at " << n;
    }
  });
}
#endif

}  // namespace
}  // namespace aomalloc
