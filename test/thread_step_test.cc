// A thread that ends may stop anywhere on its way, for as long as it likes, and
// others take over what it has let go of. When it goes on it must not touch
// what is theirs by then.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <thread>

#include "core/allocator.h"
#include "core/thread/thread.h"
#include "core/thread/visits.h"
#include "test/child.h"
#include "test/step.h"
#include "test/vanish.h"

namespace aomalloc {
namespace {

#if defined(__x86_64__)

// A thread that holds the claim on a heap until it is told to let go.
class Claimant {
 public:
  Claimant() : thread_([this] { Work(); }) {
    while (!ready_) std::this_thread::yield();
  }
  // Ends it. True if the claim was there all the time.
  bool Finish() {
    done_ = true;
    thread_.join();
    return intact_;
  }

 private:
  void Work() {
    {
      const ClaimFrame frame;
      Heap* heap = thread::ClaimHeap(frame);
      ready_ = true;
      while (!done_) std::this_thread::yield();
      intact_ = heap->claim.Peek() == frame.tag();
      heap->claim.Release();
    }
  }

  std::atomic<bool> ready_{false};
  std::atomic<bool> done_{false};
  bool intact_ = false;
  std::thread thread_;
};

// A thread releases its heaps, but is held up after `stop` instructions, in
// which time one thread comes and goes and another comes and stays. False if
// the last one lost its claim. Adds to `changes` when the heap's words changed.
bool HoldUp(int stop, std::set<int>* changes) {
  bool intact = true;
  std::thread([&] {
    Free(Allocate(100), "test");
    const Heap* heap = thread::current;
    AO_t holder = heap->holder;
    AO_t claim = heap->claim.Peek();
    std::unique_ptr<Claimant> claimant;
    Stepper::Run([] { thread::ReleaseHeaps(); },
                 [&](int n) {
                   if (heap->holder != holder || heap->claim.Peek() != claim) {
                     changes->insert(n);
                     holder = heap->holder;
                     claim = heap->claim.Peek();
                   }
                   if (n != stop) return;
                   std::thread([] { Free(Allocate(100), "test"); }).join();
                   claimant = std::make_unique<Claimant>();
                 });
    intact = claimant == nullptr || claimant->Finish();
  }).join();
  return intact;
}

TEST(ThreadStepTest, AThreadHeldUpAtItsEndDisturbsNobody) {
  memory::EnableMmap();
  Free(Allocate(100), "test");
  std::set<int> changes;
  HoldUp(0, &changes);
  ASSERT_GE(changes.size(), 2u) << "neither holder nor claim was given up";
  // What others can do depends on what they see, so it is enough to stop around
  // each change.
  std::set<int> stops;
  for (int change : changes) {
    for (int n = change - 4; n <= change + 4; ++n) stops.insert(n);
  }
  for (int stop : stops) {
    std::set<int> ignored;
    ASSERT_TRUE(HoldUp(stop, &ignored))
        << "held up after " << stop
        << " instructions, it took somebody's claim away";
  }
}

// Keys whose destructors run before and after the allocator's, as it makes its
// own when the first thread has got a heap.
std::function<void(int)> at_step;
pthread_key_t last_key;
bool goes_on;  // the last destructor allocates, and comes again as often as it
               // may
const pthread_key_t first_key = [] {
  pthread_key_t key;
  pthread_key_create(&key, [](void*) { Stepper::Begin(at_step); });
  return key;
}();

// A thread ends, and `at_step` is called after each instruction of that, from
// the allocator's destructor to the end of others. Returns its token. There are
// free heaps in the registry before and behind the one that it releases.
AO_t EndByStep() {
  AO_t token = 0;
  std::thread([&] {
    pthread_setspecific(first_key, &at_step);
    Claimant before;
    Free(Allocate(100), "test");
    EXPECT_TRUE(before.Finish());
    EXPECT_NE(thread::current, thread::Registry());
    pthread_setspecific(last_key, &last_key);
    token = thread::ThisThread();
  }).join();
  return token;
}

size_t CountHeldBy(AO_t token) {
  size_t count = 0;
  for (Heap* h = thread::Registry(); h != nullptr; h = thread::Next(h)) {
    if (LoadRelaxed(&h->holder) == token) ++count;
  }
  return count;
}

TEST(ThreadStepTest, AThreadThatHasEndedHoldsNothing) {
  memory::EnableMmap();
  std::thread([] { Free(Allocate(100), "test"); }).join();
  ASSERT_EQ(pthread_key_create(&last_key,
                               [](void*) {
                                 Stepper::ClearTrap();
                                 if (!goes_on) return;
                                 // Not few: then a thread gets a heap for it.
                                 for (int i = 0; i < 300; ++i) {
                                   Free(Allocate(100), "test");
                                 }
                                 pthread_setspecific(last_key, &last_key);
                               }),
            0);
  int steps = 0;
  at_step = [&](int n) { steps = n; };
  EXPECT_EQ(CountHeldBy(EndByStep()), 0u);
  goes_on = true;
  EXPECT_EQ(CountHeldBy(EndByStep()), 0u) << "a destructor allocated";
  ASSERT_GT(steps, 100);
  constexpr int kStride = 43;
  for (int stop = 1; stop <= steps; stop += kStride * Stepper::kStride) {
    void* block = nullptr;
    goes_on = !goes_on;
    at_step = [&](int n) {
      if (n != stop) return;
      Free(Allocate(100), "test");
      block = Allocate(3000);
    };
    EXPECT_EQ(CountHeldBy(EndByStep()), 0u)
        << "a handler allocated after " << stop << " instructions";
    Free(block, "test");
  }
  EXPECT_TRUE(HeapsAreValid());
}

// A nested operation gets another heap, and is abandoned after each
// instruction: before the thread's list has the heap, too.
TEST(ThreadStepTest, WhatAbandonedOperationsHaveAcquiredIsReleased) {
  memory::EnableMmap();
  bool abandoned = true;
  for (int limit = 1; abandoned; limit += Stepper::kStride) {
    AO_t token = 0;
    std::thread([&] {
      Free(Allocate(100), "test");
      token = thread::ThisThread();
      Heap* interrupted = thread::current;
      const ClaimFrame frame;
      ASSERT_TRUE(interrupted->claim.Claim(frame));
      abandoned = Stepper::Abandon(
          [] {
            const ClaimFrame nested;
            thread::ClaimHeap(nested)->claim.Release();
          },
          limit);
      // It is found by the next nested operation, or another one is.
      const ClaimFrame nested;
      Heap* heap = thread::ClaimHeap(nested);
      ASSERT_NE(heap, nullptr);
      heap->claim.Release();
      interrupted->claim.Release();
    }).join();
    ASSERT_EQ(CountHeldBy(token), 0u) << limit;
  }
  EXPECT_TRUE(HeapsAreValid());
}

// A handler forks while a heap is being acquired. The child has a new id, and
// uses the allocator before the acquisition goes on in it: then the heap must
// bear the new id, or it looks like a vanished thread's.
TEST(ThreadStepTest, AForkWhileAHeapIsAcquired) {
  memory::EnableMmap();
  int steps = 1;
  for (int at = 1; at <= steps; at += 3 * Stepper::kStride) {
    std::thread([&] {
      Free(Allocate(100), "test");
      const ClaimFrame frame;
      ASSERT_TRUE(thread::current->claim.Claim(frame));
      bool in_child = false;
      Heap* heap = nullptr;
      Stepper::Run(
          [&] {
            const ClaimFrame nested;
            heap = thread::ClaimHeap(nested);
            heap->claim.Release();
          },
          [&](int n) {
            steps = std::max(steps, n);
            if (n != at) return;
            const pid_t child = fork();
            if (child == 0) {
              in_child = true;
              const ClaimFrame deeper;
              thread::ClaimHeap(deeper)->claim.Release();
              return;
            }
            int status = -1;
            waitpid(child, &status, 0);
            EXPECT_EQ(status, 0) << "forked after " << n << " instructions";
          });
      if (in_child) {
        int strange = 0;
        for (Heap* h = thread::Registry(); h != nullptr; h = thread::Next(h)) {
          const AO_t holder = LoadRelaxed(&h->holder);
          const AO_t own = thread::ThisThread();
          const bool is_ours =
              holder - Holder::IdOf(holder) == own - Holder::IdOf(own);
          if (is_ours && holder != own) ++strange;
        }
        exit(strange);
      }
      thread::current->claim.Release();
    }).join();
  }
  EXPECT_GT(steps, 100);
}

// A handler comes between the acquisition of an idle heap and the claim, claims
// it and switches to another stack for long.
TEST(ThreadStepTest, AHeapThatAHandlerStaysInIsNotLost) {
  memory::EnableMmap();
  Free(Allocate(100), "test");
  Heap* idle = nullptr;
  std::thread([&] {
    Free(Allocate(100), "test");
    idle = thread::current;
  }).join();
  static const ClaimFrame stays;
  bool claimed = false;
  Stepper::Run([] { visits::TrimAll(); },
               [&](int) {
                 if (!claimed && idle->claim.Peek() == 0 &&
                     LoadRelaxed(&idle->holder) == thread::ThisThread()) {
                   claimed = idle->claim.Claim(stays);
                 }
               });
  ASSERT_TRUE(claimed);
  EXPECT_EQ(idle->claim.Peek(), stays.tag());
  idle->claim.Release();
  const ClaimFrame frames[3];
  std::set<Heap*> found;
  for (const ClaimFrame& frame : frames) {
    found.insert(thread::ClaimHeap(frame));
  }
  EXPECT_EQ(found.count(idle), 1u);
  for (Heap* heap : found) heap->claim.Release();
}

// A thread that ends forks in a handler. In the child it is still at work on
// its heap: the heap does not look like that of a thread which the fork left
// behind.
TEST(ThreadStepTest, AForkInTheMiddleOfTheEnd) {
  InChild([] {
    memory::EnableMmap();
    TakeSlowPaths();
    int forks = 0;
    int failures = 0;
    at_step = [&](int n) {
      if (n % (31 * Stepper::kStride) != 0) return;
      Heap* heap = thread::Registry();
      while (heap != nullptr &&
             (LoadRelaxed(&heap->holder) != thread::ThisThread() ||
              heap->claim.Peek() == 0)) {
        heap = thread::Next(heap);
      }
      if (heap == nullptr) return;
      ++forks;
      const pid_t child = _Fork();
      if (child == 0) {
        TakeSlowPaths();
        std::thread(TakeFromDead).join();
        _exit(IsTaken(heap) ? 1 : 0);
      }
      int status = -1;
      waitpid(child, &status, 0);
      failures += status != 0 ? 1 : 0;
    };
    pthread_key_create(&last_key, [](void*) { Stepper::ClearTrap(); });
    std::thread([] {
      pthread_setspecific(first_key, &at_step);
      TakeSlowPaths();
      pthread_setspecific(last_key, &last_key);
    }).join();
    EXPECT_GT(forks, 10);
    EXPECT_EQ(failures, 0);
  });
}

// In the child of a fork, the first thread acquires a heap that nobody holds
// and whose last claim was abandoned. After `stop` instructions a handler
// records the thread's id. True if another thread then takes the heap for that
// of a vanished one, while the first thread is at work on it.
bool IsTakenAtWork(Heap* idle, int stop) {
  std::thread(TakeSlowPaths).join();  // it begins to record ids
  const ClaimFrame frame;
  {
    const ClaimFrame gone;
    EXPECT_TRUE(idle->claim.Claim(gone));
  }
  bool is_at_work = false;
  bool is_taken = false;
  Stepper::Run([&] { const thread::Visit visit(idle, frame, nullptr); },
               [&](int n) {
                 if (n == stop) TakeSlowPaths();
                 if (n <= stop || is_at_work) return;
                 is_at_work = idle->claim.Peek() == frame.tag();
                 if (!is_at_work) return;
                 std::thread(TakeFromDead).join();
                 is_taken = IsTaken(idle);
               });
  return is_taken;
}

TEST(ThreadStepTest, AnIdThatIsRecordedWhileAHeapIsAcquired) {
  InChild([] {
    memory::EnableMmap();
    TakeSlowPaths();
    Heap* idle = nullptr;
    std::thread([&] {
      TakeSlowPaths();
      idle = thread::current;
    }).join();
    constexpr int kMost = 200;
    for (int stop = 1; stop < kMost * Stepper::kStride;
         stop += 3 * Stepper::kStride) {
      EXPECT_EQ(StatusOfChild([&] { EXPECT_FALSE(IsTakenAtWork(idle, stop)); }),
                0)
          << "recorded after " << stop << " instructions";
    }
  });
}

#endif

// Also where no heap is free that such a thread could use.
TEST(ThreadStepTest, ALateOperationGetsAHeapOfItsOwn) {
  memory::EnableMmap();
  Free(Allocate(100), "test");
  static void* block;
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void*) {
                                 constexpr AO_t kOther = AO_t{1} << 63;
                                 for (Heap* h = thread::Registry();
                                      h != nullptr; h = thread::Next(h)) {
                                   CasFull(&h->holder, 0, kOther);
                                 }
                                 block = Allocate(100);
                                 for (Heap* h = thread::Registry();
                                      h != nullptr; h = thread::Next(h)) {
                                   CasFull(&h->holder, kOther, 0);
                                 }
                               }),
            0);
  AO_t token = 0;
  std::thread([&] {
    Free(Allocate(100), "test");
    pthread_setspecific(key, &key);
    token = thread::ThisThread();
  }).join();
  ASSERT_NE(block, nullptr);
  for (Heap* h = thread::Registry(); h != nullptr; h = thread::Next(h)) {
    EXPECT_NE(LoadRelaxed(&h->holder), token);
  }
  Free(block, "test");
  pthread_key_delete(key);
}

}  // namespace
}  // namespace aomalloc
