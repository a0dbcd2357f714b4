// Remote claims: an operation of one thread works on the heap of another.
#include "core/thread/remote_claim.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "core/allocator.h"
#include "core/thread/visits.h"
#include "test/child.h"
#include "test/heaps.h"
#include "test/refuse.h"
#include "test/sleeper.h"
#include "test/step.h"
#include "test/testing.h"
#include "test/vanish.h"
#include "test/visitor.h"

namespace aomalloc {
namespace {

using RemoteClaimTest = VisitTest;

// Gives the holder a block of its heap in place of the one that it has: that
// may be of another heap, as may the blocks that it has kept.
void TakeOwn(Visited* owner) {
  std::vector<void*> others = {owner->block()};
  while (OwnerOf(memory::RunAt(owner->block() = Allocate(1000))) !=
         owner->heap()) {
    others.push_back(owner->block());
  }
  for (void* block : others) FreeBlock(block);
}

TEST_F(RemoteClaimTest, TheHolderUsesAnotherHeapMeanwhile) {
  Visited owner;
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
  Visited owner;
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

TEST_F(RemoteClaimTest, NoTwoVisitsHaveTheSameTag) {
  Visited owner;
  Visitor visitor;
  AO_t last = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(visitor.Enter(owner.heap()));
    EXPECT_NE(owner.heap()->claim.Peek(), last);
    last = owner.heap()->claim.Peek();
    EXPECT_TRUE(ClaimWord::IsRemote(last));
    visitor.Leave();
    EXPECT_FALSE(remote_claim::IsUnderWay(owner.heap(), last));
  }
  EXPECT_TRUE(owner.HasItsHeap());
}

TEST_F(RemoteClaimTest, NoPlaceForMoreVisitors) {
  constexpr size_t kPlaces = 16;
  std::vector<Heap> visited(kPlaces + 1);
  std::vector<Heap> from(kPlaces + 1);
  for (size_t i = 0; i < kPlaces; ++i) {
    ASSERT_TRUE(remote_claim::Begin(&from[i], &visited[i])) << i;
  }
  EXPECT_FALSE(remote_claim::Begin(&from[kPlaces], &visited[kPlaces]));
  EXPECT_EQ(visited[kPlaces].claim.Peek(), 0u);
  for (size_t i = 0; i < kPlaces; ++i) remote_claim::End(&from[i]);
  EXPECT_TRUE(remote_claim::Begin(&from[kPlaces], &visited[kPlaces]));
  EXPECT_EQ(remote_claim::VisitorOf(&visited[kPlaces]), &from[kPlaces]);
  remote_claim::End(&from[kPlaces]);
  EXPECT_EQ(remote_claim::VisitorOf(&visited[kPlaces]), nullptr);
}

TEST_F(RemoteClaimTest, AHeapThatIsInUseIsLeftAlone) {
  Visited owner;
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
  Visited owner;
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
  Visited owner;
  Visitor next;
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
    // What was left behind is in order, also for the next visitor.
    ASSERT_TRUE(next.Enter(owner.heap())) << limit;
    EXPECT_TRUE(owner.heap()->IsValid()) << limit;
    next.Leave();
    ASSERT_TRUE(owner.HasItsHeap()) << limit;
  }
  EXPECT_GT(under_way, 10);
}

// Has the thread allocate until it has asked for a visitor that vanished.
void LookForVisitor(Visited* owner) {
  owner->Do([] {
    for (int i = 0; i < 40; ++i) FreeBlock(Allocate(40000));
    TakeSlowPaths();
  });
}

// A visitor vanishes: the thread whose heap it has visited ends the visit.
TEST_F(RemoteClaimTest, TheVisitorVanishesAnywhere) {
  InChild([] {
    Visited owner;
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
      LookForVisitor(&owner);
      ASSERT_TRUE(owner.HasItsHeap()) << stop;
    }
    EXPECT_GT(under_way, 3);
  });
}

// The holder vanishes with a sum of tags in the word: its own, and that of a
// visit that is under way.
TEST_F(RemoteClaimTest, TheHolderVanishesWithASumInTheWord) {
  InChild([] {
    Visitor visitor;
    TakeSlowPaths();
    int sums = 0;
    bool done = false;
    for (int stop = 1; !done; ++stop) {
      bool entered = false;
      done = true;
      Heap* heap = Vanish([&] {
        TakeSlowPaths();
        FreeBlock(Allocate(1000));
        Heap* own = thread::current;
        Stepper::Run([] { FreeBlock(Allocate(1000)); },
                     [&](int n) {
                       if (n == stop) {
                         done = false;
                         entered = visitor.Enter(own);
                       }
                       const AO_t word = own->claim.Peek();
                       if (entered && (word & ClaimWord::kRemote) != 0 &&
                           !ClaimWord::IsRemote(word)) {
                         ++sums;
                         syscall(SYS_exit, 0);
                       }
                     });
      });
      if (!entered) continue;
      EXPECT_FALSE(thread::AcquireIdle(heap, kNobody, ClaimFrame()));
      TakeFromDead();
      EXPECT_FALSE(IsTaken(heap)) << "it is visited; " << stop;
      visitor.Leave();
      TakeFromDead();
      ASSERT_TRUE(IsTaken(heap)) << stop;
      EXPECT_TRUE(heap->IsValid());
      StoreRelaxed(&heap->holder, 0);
      if (sums > 0) break;
    }
    EXPECT_GT(sums, 0);
  });
}

// The last block of a slab is freed, and before the slab is given back a
// visitor comes. It is given back later.
TEST_F(RemoteClaimTest, AnEmptySlabIsNotForgotten) {
  Visited owner;
  Visitor visitor;
  owner.Do([] {  // the first few blocks are of other slabs
    for (int i = 0; i < 8; ++i) FreeBlock(Allocate(30000));
  });
  bool done = false;
  int entered = 0;
  int forgettable = 0;
  for (int stop = 1; !done; stop += Stepper::kStride) {
    bool inside = false;
    const aomalloc::Run* slab = nullptr;
    done = true;
    owner.Do([&] {
      // All blocks of one slab, and more of the next ones.
      std::vector<void*> blocks(8);
      for (void*& block : blocks) block = Allocate(30000);
      slab = memory::RunAt(blocks[2]);
      void* last = nullptr;
      for (void* block : blocks) {
        if (memory::RunAt(block) != slab) continue;
        if (last != nullptr) FreeBlock(last);
        last = block;
      }
      Stepper::Run([&] { FreeBlock(last); },
                   [&](int n) {
                     if (n != stop) return;
                     done = false;
                     inside = visitor.Enter(owner.heap());
                   });
      if (inside) visitor.Leave();
      entered += inside;
      for (void* block : blocks) {
        if (memory::RunAt(block) != slab) FreeBlock(block);
      }
    });
    ASSERT_TRUE(owner.HasItsHeap()) << stop;
    owner.Do([] { thread::current->Drain(); });
    const bool is_head = slab->beyond == -1;  // malloc's next one is kept
    EXPECT_TRUE(OwnerOf(slab) != owner.heap() || is_head) << stop;
    forgettable += !is_head;
  }
  EXPECT_GT(entered, 10);
  EXPECT_GT(forgettable, 10);
}

#endif

TEST_F(RemoteClaimTest, TheHolderEndsMeanwhile) {
  auto* owner = new Visited;
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
  Visited owner;
  Visitor visitor;
  ASSERT_TRUE(visitor.Enter(owner.heap()));
  InChild([&] {
    FreeBlock(owner.block());
    TakeSlowPathsAmongOthers();
    // The heap is not taken before the visitor's is.
    for (int i = 0; i < 2; ++i) TakeFromDead();
    EXPECT_TRUE(IsTaken(visitor.from()));
    EXPECT_TRUE(IsTaken(owner.heap()));
    EXPECT_EQ(owner.heap()->claim.Peek(), 0u);
    EXPECT_TRUE(owner.heap()->IsValid());
    // The kernel makes barriers for the child, too.
    Visited another;
    Visitor other;
    EXPECT_TRUE(other.Enter(another.heap()));
    other.Leave();
    EXPECT_TRUE(another.HasItsHeap());
  });
  visitor.Leave();
  EXPECT_TRUE(owner.HasItsHeap());
}

// The forking thread holds the heap that is visited. In the child the visitor
// is gone.
TEST_F(RemoteClaimTest, TheHolderForksDuringAVisit) {
  Visited owner;
  Visitor visitor;
  ASSERT_TRUE(visitor.Enter(owner.heap()));
  owner.Do([&] {
    InChild([&] {
      for (int i = 0; i < 40; ++i) FreeBlock(Allocate(40000));
      TakeSlowPaths();
      EXPECT_FALSE(
          remote_claim::IsUnderWay(owner.heap(), owner.heap()->claim.Peek()));
      FreeBlock(Allocate(3000));
      EXPECT_EQ(thread::current, owner.heap());
      EXPECT_TRUE(HeapsAreValid());
    });
  });
  visitor.Leave();
  EXPECT_TRUE(owner.HasItsHeap());
}

// The visitor forks. In the child it goes on, and the holder is gone.
TEST_F(RemoteClaimTest, TheVisitorForksDuringAVisit) {
  Visited owner;
  Visitor visitor;
  SendTo(&owner, visitor.thread());
  ASSERT_TRUE(visitor.Enter(owner.heap()));
  visitor.thread()->Do([&] {
    InChild([&] {
      owner.heap()->Drain();
      EXPECT_FALSE(owner.heap()->HasRemote());
      remote_claim::End(visitor.from());
      thread::Unclaim(visitor.from(), visitor.frame());
      TakeSlowPathsAmongOthers();
      for (int i = 0; i < 2; ++i) TakeFromDead();
      EXPECT_TRUE(IsTaken(owner.heap()));
      EXPECT_TRUE(owner.heap()->IsValid());
      EXPECT_TRUE(HeapsAreValid());
    });
  });
  visitor.Leave();
  EXPECT_TRUE(owner.HasItsHeap());
}

// If it vanished, nobody would find its visit.
TEST_F(RemoteClaimTest, AThreadWhoseIdIsNotKnownVisitsNobody) {
  for (const bool is_known : {true, false}) {
    InChild([=] {
      Visited owner;
      Sleeper other;
      SendTo(&owner, &other);
      std::thread([&] {
        if (!is_known) Refuse(SYS_gettid, EPERM);
        TakeSlowPaths();
        Trim();
        EXPECT_EQ(owner.heap()->HasRemote(), !is_known);
      }).join();
    });
  }
}

// Where nothing can be done, nobody asks again before as much has come.
TEST_F(RemoteClaimTest, AVisitIsDueOnceForSoManyBytes) {
  Visited owner;
  Sleeper other;
  constexpr size_t kBytes = 20480;  // of the class of 20000
  static_assert(ClassSize(ClassOf(20000)) == kBytes);
  Heap* heap = owner.heap();
  EXPECT_FALSE(heap->IsVisitDue(2 * kBytes));
  SendTo(&owner, &other);
  EXPECT_FALSE(heap->IsVisitDue(2 * kBytes));
  SendTo(&owner, &other);
  EXPECT_TRUE(heap->IsVisitDue(kBytes));
  EXPECT_FALSE(heap->IsVisitDue(kBytes));
  SendTo(&owner, &other);
  EXPECT_TRUE(heap->IsVisitDue(kBytes));
}

}  // namespace
}  // namespace aomalloc
