// The barrier that all threads pass before one visits the heap of another, and
// filters that refuse, swallow, kill for or trap the call.
#include "core/base/barrier.h"

#include <gtest/gtest.h>
#include <linux/membarrier.h>
#include <signal.h>

#include <thread>
#include <vector>

#include "core/allocator.h"
#include "test/child.h"
#include "test/heaps.h"
#include "test/refuse.h"
#include "test/sleeper.h"
#include "test/vanish.h"
#include "test/visitor.h"

namespace aomalloc {
namespace {

using BarrierVisitTest = VisitTest;

TEST(BarrierTest, ThereIsOneUnlessInstructionsAreTranslated) {
  memory::EnableMmap();
  EXPECT_EQ(barrier::PassAll(), !IsEmulated());
}

TEST_F(BarrierVisitTest, NoVisitsWithoutABarrier) {
  for (const int error : {0, EPERM, ENOSYS, EINVAL}) {
    InChild([=] {
      Refuse(SYS_membarrier, static_cast<unsigned>(error));
      Visited owner;
      Visitor visitor;
      EXPECT_FALSE(visitor.Enter(owner.heap())) << error;
      EXPECT_TRUE(owner.HasItsHeap());
      SendTo(&owner, visitor.thread());
      Trim();
      EXPECT_TRUE(owner.heap()->HasRemote());
    });
  }
}

// Such a filter lets the other commands through, and what it swallows seems to
// succeed.
TEST_F(BarrierVisitTest, NoVisitsIfOnlyTheBarrierIsSwallowed) {
  InChild([] {
    Visited owner;
    Visitor visitor;
    ASSERT_TRUE(visitor.Enter(owner.heap()));
    visitor.Leave();
    std::thread([&] {  // a filter is one of a thread
      RefuseIf(SYS_membarrier, 0, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
      ASSERT_GT(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0), 0);
      ASSERT_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0),
                0);
      EXPECT_FALSE(barrier::PassAll());
      TakeSlowPaths();
      SendTo(&owner, visitor.thread());
      Trim();
      EXPECT_TRUE(owner.heap()->HasRemote());
    })
        .join();
    EXPECT_TRUE(owner.HasItsHeap());
    // Others have a barrier still.
    EXPECT_TRUE(visitor.Enter(owner.heap()));
    visitor.Leave();
    EXPECT_TRUE(owner.HasItsHeap());
  });
}

// One that kills does not notice a program for whose threads nothing waits.
TEST_F(BarrierVisitTest, NoBarrierWithoutSomethingToDo) {
  InChild([] {
    RefuseIf(SYS_membarrier, 0, 0, 0, SECCOMP_RET_KILL_PROCESS);
    Visited owner;
    Sleeper other;
    SendTo(&owner, &other);
    std::vector<void*> blocks;
    for (size_t i = 0; i < 2000; ++i) blocks.push_back(Allocate(i));
    for (void* block : blocks) FreeBlock(block);
    owner.Do([] { thread::current->Drain(); });
    Trim();
  });
}

// A sandbox that traps calls has a handler for SIGSYS. It must not see one.
TEST_F(BarrierVisitTest, NoBarrierInASandboxThatTrapsCalls) {
  InChild([] {
    static volatile int trapped = 0;
    signal(SIGSYS, [](int) { trapped = trapped + 1; });
    Trap(SYS_membarrier);
    Visited owner;
    Visitor visitor;
    EXPECT_FALSE(visitor.Enter(owner.heap()));
    EXPECT_TRUE(owner.HasItsHeap());
    EXPECT_EQ(trapped, 0);
  });
  InChild([] {
    Refuse(SYS_rt_sigaction, 0);
    Trap(SYS_membarrier);
    Visited owner;
    Visitor visitor;
    EXPECT_FALSE(visitor.Enter(owner.heap())) << "sigaction did not answer";
  });
}

}  // namespace
}  // namespace aomalloc
