// A thread that ends may stop anywhere on its way, for as long as it likes, and
// others take over what it has let go of. When it goes on it must not touch
// what is theirs by then.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <set>
#include <thread>

#include "core/allocator.h"
#include "core/thread/thread.h"
#include "test/step.h"

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

#endif

}  // namespace
}  // namespace aomalloc
