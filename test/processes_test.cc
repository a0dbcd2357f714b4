// Which heaps look like those of vanished threads, in children of every kind: a
// test for each row of the table in core/thread/liveness.h.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/thread/thread.h"
#include "test/child.h"
#include "test/refuse.h"
#include "test/testing.h"
#include "test/vanish.h"

namespace aomalloc {
namespace {

// Ways to make a child with a memory of its own.
pid_t Fork() { return fork(); }
pid_t ForkAlone() { return _Fork(); }
pid_t RawClone() {
  return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

// When the heaps of threads are found that such a child does not have: also
// before its first thread has recorded its id; then; or never, as it may not do
// so.
enum class Found { kAtOnce, kLater, kNever };
Found FoundIn(pid_t (*make)()) {
  if (make != RawClone) return Found::kAtOnce;
  // The C library registers none where the system refuses them.
  return __rseq_size != 0 ? Found::kLater : Found::kNever;
}

template <typename F>
void InChildBy(pid_t (*make)(), F f) {
  EXPECT_EQ(StatusOfChild(f, make), 0);
}

template <typename F>
void InChildOfVfork(F f) {
  const pid_t child = vfork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    f();
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

// A thread that holds a heap, and stays.
class Other {
 public:
  Other()
      : thread_([this] {
          TakeSlowPaths();
          heap = thread::current;
          has_heap_ = true;
          while (!ends_) std::this_thread::yield();
        }) {
    while (!has_heap_) std::this_thread::yield();
  }
  ~Other() {
    ends_ = true;
    thread_.join();
  }
  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;

  Heap* heap = nullptr;

 private:
  std::atomic<bool> has_heap_{false};
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

// In a child that has a memory of its own: `own` is the heap of its first
// thread, which has not been on a slow path there, and `left` is that of a
// thread that is not there.
void ExpectOrder(Heap* own, Heap* left, Found found) {
  const AO_t holder = LoadRelaxed(&own->holder);
  const AO_t gone_holder = LoadRelaxed(&left->holder);
  const auto is_found = [=] {
    return LoadRelaxed(&left->holder) != gone_holder;
  };
  // Threads that come before it.
  const Other other;
  Heap* gone = Vanish([] {});
  InThreads(1, [&](int) { EXPECT_TRUE(Gets(gone)); });
  gone = Vanish([] {});
  InThreads(1, [](int) { TakeFromDead(); });
  EXPECT_TRUE(IsTaken(gone));
  EXPECT_EQ(is_found(), found == Found::kAtOnce);
  EXPECT_EQ(LoadRelaxed(&own->holder), holder);
  // And after it.
  TakeSlowPaths();
  EXPECT_EQ(thread::current, own);
  EXPECT_EQ(LoadRelaxed(&own->holder), thread::ThisThread());
  EXPECT_EQ(IdOf(own) == static_cast<AO_t>(getpid()), found != Found::kNever);
  gone = Vanish([] {});
  InThreads(1, [](int) { TakeFromDead(); });
  EXPECT_TRUE(IsTaken(gone));
  EXPECT_EQ(is_found(), found != Found::kNever);
  EXPECT_FALSE(IsTaken(own));
  EXPECT_FALSE(IsTaken(other.heap));
}

// The parent of each test: a process of its own, with two threads.
template <typename F>
void InParent(F f) {
  InChild([&] {
    memory::EnableMmap();
    TakeSlowPaths();
    const Other other;
    f(thread::current, other.heap);
  });
}

TEST(ProcessesTest, Program) {
  InParent([](Heap* own, Heap* other) {
    Heap* gone = Vanish([] {});
    InThreads(1, [](int) { TakeFromDead(); });
    EXPECT_TRUE(IsTaken(gone));
    EXPECT_FALSE(IsTaken(own));
    EXPECT_FALSE(IsTaken(other));
  });
}

TEST(ProcessesTest, ChildOfFork) {
  InParent([](Heap* own, Heap* other) {
    InChildBy(Fork, [=] { ExpectOrder(own, other, Found::kAtOnce); });
    InChildBy(ForkAlone, [=] { ExpectOrder(own, other, Found::kAtOnce); });
  });
}

// A sandbox that kills for each call that a process with one thread need not
// make (core/arena/README.md).
TEST(ProcessesTest, SandboxedChildOfFork) {
  InParent([](Heap* own, Heap* other) {
    Free(Allocate(1 << 20), "test");  // there is mapped memory
    for (const auto make : {Fork, ForkAlone, RawClone}) {
      InChildBy(make, [=] {
        for (const unsigned call :
             {SYS_get_robust_list, SYS_rseq, SYS_getpid, SYS_gettid, SYS_tgkill,
              SYS_membarrier, SYS_rt_sigaction, SYS_prlimit64}) {
          RefuseIf(call, 0, 0, 0, SECCOMP_RET_KILL_PROCESS);
        }
        TakeSlowPaths();
        std::vector<void*> blocks;
        for (size_t i = 0; i < 3000; ++i) blocks.push_back(Allocate(i));
        for (void* block : blocks) Free(block, "test");
        void* large = Allocate(1 << 20);
        for (size_t mib = 2; mib < 20; ++mib) {
          large = Reallocate(large, mib << 20, "test");
        }
        Free(large, "test");
        EXPECT_EQ(Allocate(size_t{1} << 45), nullptr);
        EXPECT_EQ(thread::current, own);
        EXPECT_FALSE(IsTaken(other));
        // Where lines are counted, exit makes calls of its own.
        _exit(testing::Test::HasFailure() ? 1 : 0);
      });
    }
  });
}

// A program's list of robust mutexes in the place of the C library's, and none.
TEST(ProcessesTest, ChildOfForkWithAnotherRobustList) {
  struct Anywhere {
    alignas(64) char bytes[64];
  };
  static Anywhere lists[2];
  for (void* list : {static_cast<void*>(lists), static_cast<void*>(nullptr)}) {
    InParent([=](Heap* own, Heap* other) {
      InChildBy(Fork, [=] {
        constexpr size_t kBytes = 3 * sizeof(void*);
        ASSERT_EQ(syscall(SYS_set_robust_list, list, kBytes), 0);
        ExpectOrder(own, other, FoundIn(RawClone));
      });
    });
  }
}

TEST(ProcessesTest, ChildOfRawClone) {
  InParent([](Heap* own, Heap* other) {
    InChildBy(RawClone, [=] { ExpectOrder(own, other, FoundIn(RawClone)); });
  });
}

TEST(ProcessesTest, ChildOfRawCloneWithoutRestartableSequences) {
  InParent([](Heap* own, Heap* other) {
    StopRestartableSequences();
    InChildBy(RawClone, [=] { ExpectOrder(own, other, Found::kNever); });
  });
}

// The clone's clone, before and after the first thread's first slow path.
TEST(ProcessesTest, ChildOfAChildOfRawClone) {
  InParent([](Heap* own, Heap* other) {
    InChildBy(RawClone, [=] {
      InChildBy(RawClone, [=] { ExpectOrder(own, other, FoundIn(RawClone)); });
      TakeSlowPaths();
      InChildBy(RawClone, [=] { ExpectOrder(own, other, FoundIn(RawClone)); });
    });
  });
}

// It finds nobody dead, whose threads it cannot see, and does not begin the
// generation of a process whose memory it borrows.
TEST(ProcessesTest, ChildOfVfork) {
  InParent([](Heap* own, Heap* other) {
    const auto borrow = [](const Heap* with) {
      InChildOfVfork([=] {
        TakeSlowPaths();
        EXPECT_EQ(thread::current, with);
        TakeFromDead();
      });
    };
    borrow(own);
    EXPECT_FALSE(IsTaken(own));
    EXPECT_FALSE(IsTaken(other));
    for (const auto make : {Fork, ForkAlone, RawClone}) {
      InChildBy(make, [=] {
        borrow(own);
        EXPECT_FALSE(IsTaken(own));
        ExpectOrder(own, other, FoundIn(make));
      });
    }
  });
}

// In a child of vfork that has the same id as the process, but in a namespace
// of its own.
TEST(ProcessesTest, ChildOfVforkWithTheSameId) {
  const auto take_namespace = [] {
    return unshare(CLONE_NEWPID) == 0 ||
           unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0;
  };
  InChild([&] {
    if (!take_namespace()) {
      printf("no namespaces here: nothing was tested\n");
      return;
    }
    InParent([&](Heap* own, Heap* other) {
      ASSERT_EQ(getpid(), 1);
      ASSERT_TRUE(take_namespace());
      InChildOfVfork([] {
        if (getpid() != 1) _exit(1);
        TakeSlowPaths();
        TakeFromDead();
      });
      EXPECT_FALSE(IsTaken(own));
      EXPECT_FALSE(IsTaken(other));
    });
  });
}

// A thread of such a child records nothing: the process cannot see it.
TEST(ProcessesTest, ThreadOfAChildOfVfork) {
  InParent([](Heap*, Heap*) {
    InChildOfVfork([] {
      const Other other;
      if (IdOf(other.heap) != 0) _exit(1);
    });
  });
}

// A heap that was released in this process, and acquired by its first thread,
// which has the id of the parent's.
TEST(ProcessesTest, NextHolderWithAnOldId) {
  InParent([](Heap*, Heap*) {
    InChildBy(RawClone, [] {
      Heap* idle = nullptr;
      InThreads(1, [&](int) {
        TakeSlowPaths();
        idle = thread::current;
      });
      const ClaimFrame frame;
      ASSERT_TRUE(thread::AcquireIdle(idle, thread::ThisThread(), frame));
      InThreads(1, [](int) { TakeFromDead(); });
      EXPECT_FALSE(IsTaken(idle));
    });
  });
}

TEST(ProcessesTest, ChildOfAChildOfVfork) {
  InParent([](Heap* own, Heap* other) {
    InChildOfVfork([=] {
      TakeSlowPaths();
      InChildBy(ForkAlone, [=] {
        InChildOfVfork([] { TakeSlowPaths(); });
        InChildBy(ForkAlone, [=] { ExpectOrder(own, other, Found::kAtOnce); });
        ExpectOrder(own, other, Found::kAtOnce);
      });
    });
    EXPECT_FALSE(IsTaken(own));
    EXPECT_FALSE(IsTaken(other));
  });
}

}  // namespace
}  // namespace aomalloc
