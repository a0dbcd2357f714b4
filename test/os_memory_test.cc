// What is promised of the system's memory calls (os_memory.h), on whatever
// kernel this is.
#include "core/base/os_memory.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "core/allocator.h"
#include "core/arena/memory.h"
#include "test/child.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

const size_t kPage = os::PageSize();

// Some pages, the bytes of which are 1.
class OsMemoryTest : public testing::Test {
 protected:
  static constexpr size_t kPages = 64;

  void SetUp() override {
    pages_ = static_cast<char*>(os::Map(kPages * kPage, kPage));
    ASSERT_NE(pages_, nullptr);
    memset(pages_, 1, kPages * kPage);
  }
  void TearDown() override { os::Unmap(pages_, kPages * kPage); }

  char* At(size_t page) const { return pages_ + page * kPage; }
  // What is in a page, each of whose bytes is the same.
  int ValueOf(const char* page) const {
    return IsZero(page, kPage)                      ? 0
           : memcmp(page, page + 1, kPage - 1) == 0 ? page[0]
                                                    : -1;
  }

 private:
  char* pages_ = nullptr;
};

// True if nobody can read there.
bool IsGuarded(const volatile char* address) {
  const int status = StatusOfChild([=] {
    signal(SIGSEGV, SIG_DFL);
    (void)*address;
  });
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

bool IsMapped(void* page) {
  unsigned char resident;
  return mincore(page, kPage, &resident) == 0;
}

// A line of /proc/self/status, such as "VmLck:".
size_t Kilobytes(const char* name) {
  FILE* file = fopen("/proc/self/status", "re");
  if (file == nullptr) return 0;
  char line[200];
  size_t kilobytes = 0;
  while (fgets(line, sizeof(line), file) != nullptr) {
    if (strncmp(line, name, strlen(name)) == 0) {
      sscanf(line + strlen(name), "%zu", &kilobytes);
    }
  }
  fclose(file);
  return kilobytes;
}

// Whether the kernel purges locked memory, and guards any: it is asked itself.
bool Grants(int advice, bool locked) {
  auto* page = static_cast<char*>(os::Map(kPage, kPage));
  if (locked) {
    EXPECT_EQ(mlock(page, kPage), 0);
  }
  const bool granted = madvise(page, kPage, advice) == 0;
  os::Unmap(page, kPage);
  return granted;
}

TEST_F(OsMemoryTest, ForbiddenPagesKeepTheirContents) {
  for (const bool locked : {false, true}) {
    if (locked) {
      ASSERT_EQ(mlock(At(0), kPages * kPage), 0);
    }
    ASSERT_TRUE(os::Forbid(At(1), kPage));
    EXPECT_TRUE(IsGuarded(At(1)));
    EXPECT_FALSE(IsGuarded(At(0)));
    EXPECT_FALSE(IsGuarded(At(2)));
    ASSERT_TRUE(os::MakeAccessible(At(1), kPage));
    EXPECT_EQ(ValueOf(At(1)), 1);
  }
}

TEST_F(OsMemoryTest, GuardsComeAndGoWhereThereAreAny) {
  constexpr int kGuardInstall = 102;
  for (const bool locked : {false, true}) {
    if (locked) {
      ASSERT_EQ(mlock(At(0), kPages * kPage), 0);
    }
    const bool granted = os::Guard(At(1), kPage);
    ASSERT_EQ(granted, Grants(kGuardInstall, locked));
    EXPECT_EQ(IsGuarded(At(1)), granted);
    EXPECT_FALSE(IsGuarded(At(0)));
    EXPECT_FALSE(IsGuarded(At(2)));
    munlock(At(0), kPages * kPage);
    EXPECT_EQ(os::UndoGuard(At(1), kPage), Grants(kGuardInstall, false));
    EXPECT_EQ(ValueOf(At(1)), granted ? 0 : 1);
    memset(At(1), 1, kPage);
  }
}

TEST_F(OsMemoryTest, LockedPagesArePurgedWhereTheyCanBe) {
  constexpr int kDontNeedLocked = 24;
  ASSERT_EQ(mlock(At(1), kPage), 0);
  const bool purged = os::Purge(At(0), 3 * kPage);
  EXPECT_EQ(purged, Grants(kDontNeedLocked, true));
  for (size_t page = 0; page < 3; ++page) {
    if (purged) {
      EXPECT_EQ(ValueOf(At(page)), 0) << page;
    } else {
      EXPECT_NE(ValueOf(At(page)), -1) << page;
    }
  }
  EXPECT_EQ(ValueOf(At(3)), 1);
}

TEST_F(OsMemoryTest, RenewedPagesAreNewWhateverTheyWere) {
  ASSERT_TRUE(os::Forbid(At(1), kPage));
  os::Guard(At(2), kPage);
  ASSERT_EQ(mlock(At(3), kPage), 0);
  ASSERT_EQ(munmap(At(4), kPage), 0);
  EXPECT_TRUE(os::Renew(At(1), 4 * kPage));
  for (size_t page = 1; page < 5; ++page) {
    EXPECT_EQ(ValueOf(At(page)), 0) << page;
    memset(At(page), 2, kPage);
  }
  EXPECT_EQ(ValueOf(At(0)), 1);
  EXPECT_EQ(ValueOf(At(5)), 1);
}

TEST_F(OsMemoryTest, PagesAreDetachedByKernelsThatDoItRight) {
  EXPECT_EQ(os::Detach(At(0), 4 * kPage) != nullptr, PagesAreMoved());
}

TEST_F(OsMemoryTest, DetachedPagesAreAttachedElsewhere) {
  if (!PagesAreMoved()) GTEST_SKIP() << "before Linux 5.14";
  memset(At(0), 3, 4 * kPage);
  void* detached = os::Detach(At(0), 4 * kPage);
  ASSERT_NE(detached, nullptr);
  EXPECT_EQ(ValueOf(At(0)), 0);
  EXPECT_EQ(ValueOf(At(3)), 0);
  EXPECT_EQ(ValueOf(At(4)), 1);
  memset(At(0), 2, 4 * kPage);
  ASSERT_TRUE(os::Attach(detached, 4 * kPage, At(16), 6 * kPage));
  EXPECT_FALSE(IsMapped(detached));
  EXPECT_EQ(ValueOf(At(15)), 1);
  EXPECT_EQ(ValueOf(At(16)), 3);
  EXPECT_EQ(ValueOf(At(19)), 3);
  EXPECT_EQ(ValueOf(At(20)), 0) << "the room that was asked for";
  EXPECT_EQ(ValueOf(At(21)), 0);
  EXPECT_EQ(ValueOf(At(22)), 1);
  // And again, from where they are one mapping.
  detached = os::Detach(At(16), 6 * kPage);
  ASSERT_NE(detached, nullptr);
  ASSERT_TRUE(os::Attach(detached, 6 * kPage, At(32), 6 * kPage));
  EXPECT_EQ(ValueOf(At(16)), 0);
  EXPECT_EQ(ValueOf(At(32)), 3);
}

// What growing a block that was moved before came to: from two mappings.
TEST_F(OsMemoryTest, TwoMappingsAreNotDetachedAndNothingIsChanged) {
  if (!PagesAreMoved()) GTEST_SKIP() << "before Linux 5.14";
  void* detached = os::Detach(At(0), 4 * kPage);
  ASSERT_NE(detached, nullptr);
  ASSERT_TRUE(os::Attach(detached, 4 * kPage, At(16), 4 * kPage));
  const size_t mappings = CountMappings();
  EXPECT_EQ(os::Detach(At(18), 4 * kPage), nullptr);
  for (size_t page = 16; page < kPages; ++page) {
    ASSERT_EQ(ValueOf(At(page)), 1) << page;
  }
  EXPECT_EQ(CountMappings(), mappings);
}

// Linux takes the lock off all of a mapping when it moves a part of it.
TEST_F(OsMemoryTest, LockedPagesAreNotDetached) {
  ASSERT_EQ(mlock(At(0), kPages * kPage), 0);
  const size_t locked = Kilobytes("VmLck:");
  EXPECT_EQ(os::Detach(At(4), 4 * kPage), nullptr);
  EXPECT_EQ(Kilobytes("VmLck:"), locked);
  EXPECT_EQ(ValueOf(At(4)), 1);
  munlock(At(0), kPages * kPage);
}

// Linux 5.7 to 5.10 counts what lies behind as promised then.
TEST_F(OsMemoryTest, ForkWorksWherePagesWereDetachedBeforeAReservation) {
  constexpr size_t kLarge = size_t{256} << 30;
  auto* start = static_cast<char*>(os::Reserve(kLarge, kPage));
  ASSERT_NE(start, nullptr);
  ASSERT_TRUE(os::MakeAccessible(start, 16 * kPage));
  os::Detach(start + kPage, 4 * kPage);
  EXPECT_EQ(StatusOfChild([] {}), 0);
  os::Unmap(start, kLarge);
}

TEST_F(OsMemoryTest, OnlyAHoleIsFilled) {
  EXPECT_EQ(os::FillHole(At(1), 2 * kPage), os::Filled::kOccupied);
  ASSERT_EQ(munmap(At(2), kPage), 0);
  EXPECT_EQ(os::FillHole(At(1), 2 * kPage), os::Filled::kOccupied);
  EXPECT_FALSE(IsMapped(At(2)));
  EXPECT_EQ(ValueOf(At(1)), 1);
  EXPECT_EQ(os::FillHole(At(2), kPage), os::Filled::kDone);
  EXPECT_EQ(ValueOf(At(2)), 0);
  memset(At(2), 1, kPage);
  auto* beyond = reinterpret_cast<void*>(~uintptr_t{0} << 47);
  EXPECT_EQ(os::FillHole(beyond, kPage), os::Filled::kRefused);
}

TEST_F(OsMemoryTest, ReservedMemoryIsAlignedAndCannotBeTouched) {
  constexpr size_t kAlignment = size_t{1} << 21;
  auto* start = static_cast<char*>(os::Reserve(4 * kAlignment, kAlignment));
  ASSERT_NE(start, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(start) % kAlignment, 0u);
  EXPECT_TRUE(IsGuarded(start));
  ASSERT_TRUE(os::MakeAccessible(start, kPage));
  EXPECT_EQ(ValueOf(start), 0);
  start[0] = 1;
  EXPECT_TRUE(IsGuarded(start + kPage));
  os::Unmap(start, 4 * kAlignment);
  EXPECT_FALSE(IsMapped(start));
  EXPECT_EQ(os::Reserve(SIZE_MAX - kPage, kAlignment), nullptr);
}

// What /proc/self/smaps has of a name.
int CountMappings(const char* name) {
  FILE* file = fopen("/proc/self/smaps", "re");
  if (file == nullptr) return -1;
  char line[300];
  int count = 0;
  while (fgets(line, sizeof(line), file) != nullptr) {
    count += strstr(line, name) != nullptr ? 1 : 0;
  }
  fclose(file);
  return count;
}

TEST(NameTest, MappingsAreNamedIfThatIsWanted) {
  InChild([] {
    os::NameMappings();
    void* page = os::Map(os::PageSize(), os::PageSize());
    os::Name(page, os::PageSize(), "aomalloc: a test");
    if (CountMappings("[anon:aomalloc: a test]") == 0) {
      printf("the kernel names no mappings: nothing was tested\n");
      return;
    }
    memory::EnableMmap();
    Free(Allocate(1 << 20), "test");
    Free(Allocate(10 << 20), "test");
    EXPECT_GE(CountMappings("[anon:aomalloc: heap]"), 1);
    EXPECT_GE(CountMappings("[anon:aomalloc: descriptors]"), 1);
  });
  InChild([] {
    memory::EnableMmap();
    Free(Allocate(1 << 20), "test");
    EXPECT_EQ(CountMappings("[anon:aomalloc"), 0);
  });
}

}  // namespace
}  // namespace aomalloc
