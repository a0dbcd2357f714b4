// What the system refuses: the allocator makes do, and loses nothing by it.
#include <errno.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include "core/allocator.h"
#include "core/base/os.h"
#include "test/child.h"
#include "test/refuse.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

void FreeBlock(void* ptr) { Free(ptr, "test"); }

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

// Whether it is refused from the start or only after some time.
TEST(RefusalTest, WithoutMprotectMemoryIsMapped) {
  for (const bool late : {false, true}) {
    InChild([late] {
      memory::EnableMmap();
      if (late) FreeBlock(Allocate(100));
      Refuse(SYS_mprotect, EPERM);
      for (size_t size = 100; size < 100 * kMiB; size *= 3) {
        void* block = Allocate(size);
        ASSERT_NE(block, nullptr) << size;
        EXPECT_NE(memory::ArenaOf(block), memory::ArenaAt(0));
        Fill(block, size, 3);
        block = Reallocate(block, 2 * size, "test");
        ASSERT_TRUE(IsFilled(block, size, 3));
        FreeBlock(block);
      }
    });
  }
}

// An arena with dirty units, of which the system refuses to purge the upper
// ones: no pages are there any more.
struct HalfGone {
  explicit HalfGone(size_t bytes) : units(bytes / memory::kMappedUnitBytes) {
    memory::EnableMmap();
    purge::Allow(64 * kMiB);
    const memory::Grant low = memory::Take({bytes, bytes, 1});
    const memory::Grant high = memory::Take({bytes, bytes, 1});
    EXPECT_GT(high.run, low.run);
    for (const memory::Grant& taken : {low, high}) {
      memset(taken.address(), 1, bytes);
      memory::Return(taken.run, /*dirty=*/true);
    }
    arena = low.arena;
    dirty = arena->dirty_units();
    EXPECT_EQ(munmap(high.address(), bytes), 0);
  }

  const size_t units;  // that can be purged
  Arena* arena;
  size_t dirty;
};

// A few that are refused, locked memory on some kernels, keep back no others.
TEST(RefusalTest, WhatIsNotPurgedDoesNotKeepBackTheRest) {
  InChild([] {
    const HalfGone half(kMiB);
    memory::Trim();
    EXPECT_EQ(half.arena->dirty_units(), half.dirty - half.units);
  });
}

// Many make it stop for now, and begin there the next time; who insists gets
// all of it at once.
TEST(RefusalTest, WhereMuchIsNotPurgedTheRestIsInTheEnd) {
  for (const bool insists : {false, true}) {
    InChild([insists] {
      const HalfGone half(8 * kMiB);
      half.arena->PurgeExcess(
          0, insists ? Arena::Effort::kInsist : Arena::Effort::kEasy);
      EXPECT_EQ(half.arena->dirty_units() < half.dirty, insists);
      for (int i = 0; i < 20; ++i) half.arena->PurgeExcess(0);
      EXPECT_EQ(half.arena->dirty_units(), half.dirty - half.units);
    });
  }
}

TEST(RefusalTest, PagesThatCannotBeMovedAreCopied) {
  InChild([] {
    memory::EnableMmap();
    void* block = Allocate(kMiB);
    Fill(block, kMiB, 3);
    Allocate(kMiB);  // so that it cannot grow where it is
    Refuse(SYS_mremap, EINVAL);
    void* moved = Reallocate(block, 3 * kMiB, "test");
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
    const memory::Grant taken = memory::Take({kMiB, kMiB, 1});
    memset(taken.address(), 1, kMiB);
    memory::Return(taken.run, /*dirty=*/true);
    const size_t dirty = taken.arena->dirty_units();
    Refuse(SYS_madvise, EINVAL);
    memory::Trim();
    EXPECT_EQ(taken.arena->dirty_units(), dirty);
    const memory::Grant again = memory::Take({kMiB, kMiB, 1});
    EXPECT_EQ(again.run, taken.run);
    EXPECT_FALSE(again.zeroed);
  });
}

// As emulators do, and filters that answer 0.
TEST(RefusalTest, WhatIsSaidToBePurgedAndIsNotStaysDirty) {
  constexpr size_t kSize = 16 * kMiB;
  for (const bool trims : {false, true}) {
    InChild([trims] {
      memory::EnableMmap();
      Refuse(SYS_madvise, 0);
      void* block = Allocate(kSize);
      Fill(block, kSize, 3);
      Allocate(kSize);
      FreeBlock(block);
      if (trims) memory::Trim();
      void* zeroed = AllocateZeroed(kSize);
      EXPECT_EQ(zeroed, block);
      EXPECT_TRUE(IsZero(zeroed, kSize));
    });
  }
}

TEST(RefusalTest, AbortEndsTheProcessEvenIfNoSignalCanBeSent) {
  const int status = StatusOfChild([] {
    Refuse(SYS_tgkill, EPERM);
    os::Abort();
  });
  EXPECT_TRUE(WIFSIGNALED(status)) << status;
  // The same, counting which lines ran.
  const int counted = StatusOfChild([] {
    // Which of them a trap is depends on the machine.
    for (int trap : {SIGILL, SIGTRAP}) signal(trap, [](int) { exit(42); });
    Refuse(SYS_tgkill, EPERM);
    os::Abort();
  });
  EXPECT_EQ(WEXITSTATUS(counted), 42);
}

}  // namespace
}  // namespace aomalloc
