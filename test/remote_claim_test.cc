// Remote claims: an operation of one thread works on the heap of another.
#include "core/thread/remote_claim.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "core/allocator.h"
#include "core/thread/visits.h"
#include "test/child.h"
#include "test/refuse.h"
#include "test/sleeper.h"
#include "test/step.h"
#include "test/testing.h"
#include "test/vanish.h"

namespace aomalloc {
namespace {

void FreeBlock(void* ptr) { Free(ptr, "test"); }

// A thread that visits heaps, and stays there until it is told to leave.
class Visitor {
 public:
  bool Enter(Heap* heap) {
    bool entered = false;
    thread_.Do([&] {
      from_ = thread::ClaimHeap(frame_);
      entered = remote_claim::Begin(from_, heap);
      if (!entered) thread::Unclaim(from_, frame_);
    });
    return entered;
  }
  void Leave() {
    thread_.Do([&] {
      remote_claim::End(from_);
      thread::Unclaim(from_, frame_);
    });
  }
  Heap* from() const { return from_; }
  Sleeper* thread() { return &thread_; }

 private:
  Sleeper thread_;
  ClaimFrame frame_;  // not on its stack, for nobody to overwrite it
  Heap* from_ = nullptr;
};

// A thread with a heap, in which a block is live.
class Owner {
 public:
  Owner() {
    thread_.Do([&] {
      TakeSlowPaths();
      block_ = Allocate(1000);
      heap_ = thread::current;
    });
  }
  // True if it can use its heap, which is valid.
  bool HasItsHeap() {
    bool has = false;
    thread_.Do([&] {
      FreeBlock(Allocate(3000));
      FreeBlock(Allocate(50));
      has = thread::current == heap_ && HeapsAreValid();
    });
    return has;
  }
  void Do(std::function<void()> what) { thread_.Do(std::move(what)); }
  Heap* heap() const { return heap_; }
  void*& block() { return block_; }

 private:
  Sleeper thread_;
  Heap* heap_ = nullptr;
  void* block_ = nullptr;
};

// Leaves something in the heap of `owner` for a visitor to do.
void SendTo(Owner* owner, Sleeper* sender) {
  void* block = nullptr;
  owner->Do([&] { block = Allocate(20000); });
  sender->Do([&] { FreeBlock(block); });
}

// Gives the holder a block of its heap in place of the one that it has: that
// may be of another heap, as may the blocks that it has kept.
void TakeOwn(Owner* owner) {
  std::vector<void*> others = {owner->block()};
  while (OwnerOf(memory::RunAt(owner->block() = Allocate(1000))) !=
         owner->heap()) {
    others.push_back(owner->block());
  }
  for (void* block : others) FreeBlock(block);
}

class RemoteClaimTest : public testing::Test {
 protected:
  void SetUp() override {
    memory::EnableMmap();
    FreeBlock(Allocate(1));
  }
  void TearDown() override { EXPECT_TRUE(HeapsAreValid()); }
};

TEST_F(RemoteClaimTest, TheHolderUsesAnotherHeapMeanwhile) {
  Owner owner;
  Visitor visitor;
  for (int i = 0; i < 3; ++i) {
    owner.Do([&] { TakeOwn(&owner); });
    ASSERT_TRUE(visitor.Enter(owner.heap()));
    owner.Do([&] {
      for (int j = 0; j < 20; ++j) {
        void* block = Allocate(1000);
        EXPECT_NE(OwnerOf(memory::RunAt(block)), owner.heap());
        FreeBlock(block);
      }
      FreeBlock(owner.block());
      owner.block() = Allocate(1000);
      thread::current->SendForeign();
    });
    EXPECT_TRUE(owner.heap()->HasRemote());
    visitor.Leave();
    EXPECT_TRUE(owner.HasItsHeap());
  }
}

TEST_F(RemoteClaimTest, OneVisitorAtATimeAndOneAfterAnother) {
  Owner owner;
  Visitor first;
  Visitor second;
  ASSERT_TRUE(first.Enter(owner.heap()));
  EXPECT_FALSE(second.Enter(owner.heap()));
  first.Leave();
  EXPECT_TRUE(second.Enter(owner.heap()))
      << "the tag of a visit that has ended";
  second.Leave();
  EXPECT_TRUE(owner.HasItsHeap());
}

TEST_F(RemoteClaimTest, AHeapThatIsInUseIsLeftAlone) {
  Owner owner;
  Visitor visitor;
  owner.Do([&] {
    const ClaimFrame frame;
    ASSERT_TRUE(owner.heap()->claim.Claim(frame));
    EXPECT_FALSE(visitor.Enter(owner.heap()));
    EXPECT_EQ(owner.heap()->claim.Peek(), frame.tag());
    owner.heap()->claim.Release();
  });
  EXPECT_TRUE(owner.HasItsHeap());
}

#if defined(__x86_64__)

// The holder is stopped after each instruction of a free and a malloc, and a
// visitor comes. If it gets the heap, the holder must not touch it any more.
TEST_F(RemoteClaimTest, TheHolderIsStoppedAnywhere) {
  Owner owner;
  Visitor visitor;
  int entered = 0;
  int refused = 0;
  bool done = false;
  for (int stop = 1; !done; stop += Stepper::kStride) {
    bool inside = false;
    done = true;
    owner.Do([&] {
      const aomalloc::Run* slab = memory::RunAt(owner.block());
      aomalloc::Run before;
      Stepper::Run(
          [&] {
            FreeBlock(owner.block());
            owner.block() = Allocate(1000);
          },
          [&](int n) {
            if (n != stop) return;
            done = false;
            inside = visitor.Enter(owner.heap());
            memcpy(static_cast<void*>(&before), slab, sizeof(before));
          });
      EXPECT_TRUE(!inside || memcmp(&before, slab, sizeof(before)) == 0)
          << "both were in the heap, after " << stop << " instructions";
    });
    if (inside) visitor.Leave();
    if (!done) ++(inside ? entered : refused);
    ASSERT_TRUE(owner.HasItsHeap()) << stop;
    owner.Do([&] { TakeOwn(&owner); });
  }
  EXPECT_GT(entered, 10);
  EXPECT_GT(refused, 10);
}

void VisitAndDrain(Heap* heap) {
  const ClaimFrame frame;
  Heap* from = thread::ClaimHeap(frame);
  {
    const thread::Visit visit(heap, frame, from);
    if (visit) heap->Drain();
  }
  thread::Unclaim(from, frame);
}

void OverwriteStack() {
  volatile char junk[16384];
  for (volatile char& byte : junk) byte = 1;
}

// A visitor is torn off after each instruction: its thread's next operations
// end the visit.
TEST_F(RemoteClaimTest, TheVisitorIsTornOffAnywhere) {
  Owner owner;
  Sleeper visitor;
  visitor.Do([] { FreeBlock(Allocate(1)); });
  int under_way = 0;
  bool torn_off = true;
  for (int limit = 1; torn_off; limit += 7 * Stepper::kStride) {
    SendTo(&owner, &visitor);
    visitor.Do([&] {
      torn_off = Stepper::Abandon([&] { VisitAndDrain(owner.heap()); }, limit);
    });
    under_way +=
        remote_claim::IsUnderWay(owner.heap(), owner.heap()->claim.Peek());
    owner.Do([] {
      for (int i = 0; i < 3; ++i) FreeBlock(Allocate(500));
    });
    visitor.Do([] {
      OverwriteStack();
      for (int i = 0; i < 20; ++i) FreeBlock(Allocate(40000));
      TakeSlowPaths();
    });
    ASSERT_TRUE(owner.HasItsHeap()) << limit;
  }
  EXPECT_GT(under_way, 10);
}

// A visitor vanishes: who takes over its heap ends the visit.
TEST_F(RemoteClaimTest, TheVisitorVanishesAnywhere) {
  InChild([] {
    Owner owner;
    TakeSlowPaths();
    int under_way = 0;
    bool vanished = true;
    for (int stop = 1; vanished; stop += 31 * Stepper::kStride) {
      void* block = nullptr;
      owner.Do([&] { block = Allocate(20000); });
      vanished = false;
      Vanish([&] {
        TakeSlowPaths();
        FreeBlock(block);
        Stepper::Run([&] { VisitAndDrain(owner.heap()); },
                     [&](int n) {
                       if (n != stop) return;
                       vanished = true;
                       syscall(SYS_exit, 0);
                     });
      });
      under_way +=
          remote_claim::IsUnderWay(owner.heap(), owner.heap()->claim.Peek());
      owner.Do([] {
        for (int i = 0; i < 3; ++i) FreeBlock(Allocate(500));
      });
      TakeFromDead();
      ASSERT_TRUE(owner.HasItsHeap()) << stop;
    }
    EXPECT_GT(under_way, 3);
  });
}

#endif

TEST_F(RemoteClaimTest, TheHolderEndsMeanwhile) {
  auto* owner = new Owner;
  Heap* heap = owner->heap();
  Visitor visitor;
  ASSERT_TRUE(visitor.Enter(heap));
  const AO_t claim = heap->claim.Peek();
  delete owner;
  EXPECT_EQ(LoadRelaxed(&heap->holder), 0u);
  EXPECT_EQ(heap->claim.Peek(), claim);
  const ClaimFrame frame;
  EXPECT_FALSE(thread::AcquireIdle(heap, kNobody, frame));
  visitor.Leave();
  EXPECT_TRUE(thread::AcquireIdle(heap, kNobody, frame));
  EXPECT_TRUE(heap->IsValid());
  StoreRelaxed(&heap->holder, 0);
}

// In the child the visitor is gone, and the holder.
TEST_F(RemoteClaimTest, AForkDuringAVisit) {
  Owner owner;
  Visitor visitor;
  ASSERT_TRUE(visitor.Enter(owner.heap()));
  InChild([&] {
    FreeBlock(owner.block());
    TakeSlowPaths();
    // The heap is not taken before the visitor's is.
    for (int i = 0; i < 2; ++i) TakeFromDead();
    EXPECT_TRUE(IsTaken(visitor.from()));
    EXPECT_TRUE(IsTaken(owner.heap()));
    EXPECT_EQ(owner.heap()->claim.Peek(), 0u);
    EXPECT_TRUE(owner.heap()->IsValid());
    // The kernel makes barriers for the child, too.
    Owner another;
    Visitor other;
    EXPECT_TRUE(other.Enter(another.heap()));
    other.Leave();
    EXPECT_TRUE(another.HasItsHeap());
  });
  visitor.Leave();
  EXPECT_TRUE(owner.HasItsHeap());
}

TEST_F(RemoteClaimTest, NoVisitsWithoutABarrier) {
  for (const int error : {0, EPERM, ENOSYS, EINVAL}) {
    InChild([=] {
      Refuse(SYS_membarrier, static_cast<unsigned>(error));
      Owner owner;
      Visitor visitor;
      EXPECT_FALSE(visitor.Enter(owner.heap())) << error;
      EXPECT_TRUE(owner.HasItsHeap());
      SendTo(&owner, visitor.thread());
      Trim();
      EXPECT_TRUE(owner.heap()->HasRemote());
    });
  }
}

// A sandbox that traps calls has a handler for SIGSYS. It must not see one.
TEST_F(RemoteClaimTest, NoBarrierInASandboxThatTrapsCalls) {
  InChild([] {
    static volatile int trapped = 0;
    signal(SIGSYS, [](int) { trapped = trapped + 1; });
    Trap(SYS_membarrier);
    Owner owner;
    Visitor visitor;
    EXPECT_FALSE(visitor.Enter(owner.heap()));
    EXPECT_TRUE(owner.HasItsHeap());
    EXPECT_EQ(trapped, 0);
  });
  InChild([] {
    Refuse(SYS_rt_sigaction, 0);
    Trap(SYS_membarrier);
    Owner owner;
    Visitor visitor;
    EXPECT_FALSE(visitor.Enter(owner.heap())) << "sigaction did not answer";
  });
}

}  // namespace
}  // namespace aomalloc
