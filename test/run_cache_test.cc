// The right to keep free runs: some caches have it at a time, and an abandoned
// operation does not lose it.
#include "core/heap/run_cache.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "core/arena/memory.h"
#include "test/child.h"
#include "test/step.h"

namespace aomalloc {
namespace {

Run* TakeRun() {
  return memory::Take({memory::kMappedUnitBytes, memory::kStaticUnitBytes, 1})
      .run;
}

// How many of a hundred new caches may keep a run. They give up the right.
int CountThatMayKeep() {
  std::vector<std::unique_ptr<RunCache>> caches;
  int count = 0;
  for (int i = 0; i < 100; ++i) {
    RunCache& cache = *caches.emplace_back(std::make_unique<RunCache>());
    Run* run = TakeRun();
    if (cache.Keep(run)) {
      ++count;
    } else {
      memory::Return(run, /*dirty=*/true);
    }
  }
  for (const auto& cache : caches) cache->GiveUp();
  return count;
}

TEST(RunCacheTest, SomeCachesMayKeepRuns) {
  InChild([] {
    memory::EnableMmap();
    EXPECT_EQ(CountThatMayKeep(), 16);
    EXPECT_EQ(CountThatMayKeep(), 16);
  });
}

// With much memory in use, more caches may, up to a limit.
TEST(RunCacheTest, MoreMayWithMoreMemoryInUse) {
  InChild([] {
    memory::EnableMmap();
    memory::Take({size_t{320} << 20, 1 << 20, 1});
    EXPECT_GE(CountThatMayKeep(), 16 + 20);
    memory::Take({size_t{16} << 30, 1 << 20, 1});
    EXPECT_EQ(CountThatMayKeep(), 100);
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
        auto* run = TakeRun();
        if (gives_up) {
          ASSERT_TRUE(cache->Keep(run));
        }
        abandoned = Stepper::Abandon(
            [&] { gives_up ? cache->GiveUp() : void(cache->Keep(run)); },
            limit += 5 * Stepper::kStride);
        cache->Recount();
        cache->GiveUp();
        ASSERT_EQ(CountThatMayKeep(), 16) << "after " << limit;
      }
      EXPECT_GT(limit, 10);
    }
  });
}

#endif

}  // namespace
}  // namespace aomalloc
