// An arena of which another thread takes and returns at every instruction of
// one: what threads that really run at once do only now and then.
#include <gtest/gtest.h>

#include "core/arena/arena.h"
#include "test/step.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own

#if defined(__x86_64__)

constexpr int kShift = 12;
constexpr size_t kUnits = size_t{4} * 64;
alignas(1 << kShift) char memory_of_arena[kUnits << kShift];

struct TestArena {
  Descriptor table[kUnits] = {};
  AtomicWord used[4] = {};
  AtomicWord dirty[4] = {};
  AtomicWord hints[Arena::HintsFor(kUnits)] = {};
  Arena arena{memory_of_arena, kUnits, kShift, table, used,
              dirty,           hints,  kUnits};
};

// Runs in one word of bits, and in two.
class ArenaStepTest : public testing::TestWithParam<size_t> {};

TEST_P(ArenaStepTest, TwoThatTakeGetDifferentUnits) {
  const size_t count = GetParam();
  int steps = 1;
  for (int at = 1; at <= steps; at += 3 * Stepper::kStride) {
    TestArena test;
    Descriptor* mine = nullptr;
    Descriptor* theirs = nullptr;
    Stepper::Run([&] { mine = test.arena.Take(count, 1).run; },
                 [&](int n) {
                   steps = n;
                   if (n == at) theirs = test.arena.Take(count, 1).run;
                 });
    SCOPED_TRACE(testing::Message() << "after " << at << " instructions");
    ASSERT_NE(mine, nullptr);
    ASSERT_NE(theirs, nullptr);
    ASSERT_GE(mine < theirs ? theirs - mine : mine - theirs,
              static_cast<ptrdiff_t>(count));
    ASSERT_EQ(test.arena.used_units(), 2 * count);
    test.arena.Return(mine, false);
    test.arena.Return(theirs, false);
    for (size_t i = 0; i < kUnits; ++i) ASSERT_FALSE(test.arena.InUse(i)) << i;
  }
  EXPECT_GT(steps, 40);
}

INSTANTIATE_TEST_SUITE_P(Counts, ArenaStepTest, testing::Values(3, 80));

#endif

}  // namespace
}  // namespace aomalloc
