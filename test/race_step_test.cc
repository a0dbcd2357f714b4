// What is done once in a process, by two threads at the same time: one of them
// comes in the middle of the other.
#include <gtest/gtest.h>
#include <pthread.h>

#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/thread/thread.h"
#include "test/child.h"
#include "test/refuse.h"
#include "test/step.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

#if defined(__x86_64__)

// Calls `check(0)`, `check(step)`, ..., each in a new child process, until one
// returns false.
template <typename F>
void InChildren(int step, F check) {
  constexpr int kLast = 9;
  int status = 0;
  int count = 0;
  for (; status == 0; ++count) {
    SCOPED_TRACE(testing::Message() << count * step << " instructions later");
    status = StatusOfChild([&] {
      const bool go_on = check(count * step);
      if (!go_on && !testing::Test::HasFailure()) exit(kLast);
    });
    EXPECT_TRUE(status == 0 || WEXITSTATUS(status) == kLast);
  }
  EXPECT_GT(count, 5);
}

// The primary, and a piece.
void TwoThatAddAnArena(bool limited) {
  InChildren(Stepper::kStride * 7, [limited](int delay) -> bool {
    if (limited) RefusePrimary();
    memory::EnableMmap();
    const size_t before = AddressSpace();
    const memory::Request request{100, 100, 1};
    memory::Grant mine, theirs;
    Stepper::Run([&] { mine = memory::Take(request); },
                 [&](int n) {
                   if (n == 1 + delay) theirs = memory::Take(request);
                 });
    EXPECT_NE(mine.run, nullptr);
    EXPECT_NE(mine.run, theirs.run);
    EXPECT_EQ(mine.arena, memory::ArenaAt(1));
    EXPECT_EQ(memory::ArenaAt(2), nullptr);
    EXPECT_LT(AddressSpace(), before + (size_t{limited ? 2u : 1u} << 20))
        << "one was left over";
    return theirs.run != nullptr;
  });
}

TEST(RaceStepTest, TwoThatAddAnArenaShareOne) {
  TwoThatAddAnArena(/*limited=*/false);
  TwoThatAddAnArena(/*limited=*/true);
}

// Keys for thread-specific data that can still be made.
size_t KeysLeft() {
  std::vector<pthread_key_t> keys;
  pthread_key_t key;
  while (pthread_key_create(&key, nullptr) == 0) keys.push_back(key);
  for (pthread_key_t made : keys) pthread_key_delete(made);
  return keys.size();
}

TEST(RaceStepTest, TwoThatHaveThemselvesToldOfTheirEndShareAKey) {
  InChildren(Stepper::kStride, [](int delay) {
    const size_t keys = KeysLeft();
    int begin = 0;
    bool came = false;
    std::thread([&] {
      const ClaimFrame frame;
      Heap* heap = nullptr;
      Stepper::Run([&] { heap = thread::ClaimHeap(frame); },
                   [&](int n) {
                     // The first thing that is seen of it.
                     if (begin == 0 && thread::current != nullptr) begin = n;
                     if (begin == 0 || n != begin + delay) return;
                     std::thread([] { Free(Allocate(100), "test"); }).join();
                     came = true;
                   });
      heap->claim.Release();
    }).join();
    for (Heap* h = thread::Registry(); h != nullptr; h = thread::Next(h)) {
      EXPECT_EQ(LoadRelaxed(&h->holder), 0u);
    }
    EXPECT_EQ(KeysLeft(), keys - 1);
    return came;
  });
}

#endif

}  // namespace
}  // namespace aomalloc
