// What the system refuses: the allocator makes do, and loses nothing by it.
#include <errno.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "core/allocator.h"
#include "core/os.h"
#include "test/child.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

void FreeBlock(void* ptr) { Free(ptr, "test"); }

// From now on the system answers the call of this number with `error`.
void Refuse(unsigned call, unsigned error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{4, program};
  ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

TEST(RefusalTest, WithoutMmapTheStaticHeapServes) {
  InChild([] {
    memory::EnableMmap();
    Refuse(SYS_mmap, ENOMEM);
    void* block = Allocate(100);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(memory::ArenaOf(block), memory::ArenaAt(0));
    FreeBlock(block);
    errno = 0;
    EXPECT_EQ(Allocate(AOMALLOC_STATIC_HEAP_BYTES + 1), nullptr);
    EXPECT_EQ(errno, ENOMEM);
  });
}

TEST(RefusalTest, AddressSpaceWithoutMemoryIsGivenBack) {
  InChild([] {
    memory::EnableMmap();
    Refuse(SYS_mprotect, ENOMEM);
    const size_t before = AddressSpace();
    EXPECT_NE(Allocate(100), nullptr);
    EXPECT_EQ(Allocate(100 * kMiB), nullptr);
    EXPECT_LT(AddressSpace(), before + kMiB);
    EXPECT_EQ(memory::ArenaAt(1), nullptr);
  });
}

TEST(RefusalTest, PagesThatCannotBeMovedAreCopied) {
  InChild([] {
    memory::EnableMmap();
    void* block = Allocate(kMiB);
    Fill(block, kMiB, 3);
    Allocate(kMiB);  // so that it cannot grow where it is
    Refuse(SYS_mremap, EINVAL);
    void* moved = Reallocate(block, 5 * kMiB, "test");
    ASSERT_NE(moved, nullptr);
    EXPECT_NE(moved, block);
    EXPECT_TRUE(IsFilled(moved, kMiB, 3));
    // What is left behind is not zero and must not be taken for it.
    void* zeroed = AllocateZeroed(kMiB);
    EXPECT_EQ(zeroed, block);
    EXPECT_TRUE(IsZero(zeroed, kMiB));
  });
}

TEST(RefusalTest, WhatIsNotPurgedStaysDirty) {
  InChild([] {
    memory::EnableMmap();
    const memory::Taken taken = memory::Take({kMiB, kMiB, 1});
    memset(taken.address(), 1, kMiB);
    memory::Return(taken.arena, taken.run, /*dirty=*/true);
    const size_t dirty = taken.arena->dirty_units();
    Refuse(SYS_madvise, EINVAL);
    memory::Trim();
    EXPECT_EQ(taken.arena->dirty_units(), dirty);
    const memory::Taken again = memory::Take({kMiB, kMiB, 1});
    EXPECT_EQ(again.run, taken.run);
    EXPECT_FALSE(again.zeroed);
  });
}

TEST(RefusalTest, AbortEndsTheProcessEvenIfNoSignalCanBeSent) {
  const int status = StatusOfChild([] {
    Refuse(SYS_tgkill, EPERM);
    os::Abort();
  });
  EXPECT_TRUE(WIFSIGNALED(status)) << status;
  // The same, counting which lines ran.
  const int counted = StatusOfChild([] {
    signal(SIGILL, [](int) { exit(42); });
    Refuse(SYS_tgkill, EPERM);
    os::Abort();
  });
  EXPECT_EQ(WEXITSTATUS(counted), 42);
}

}  // namespace
}  // namespace aomalloc
