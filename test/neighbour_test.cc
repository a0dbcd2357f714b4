// Pointers of another allocator, and how it is looked whose they are.
#include "core/neighbour.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/allocator.h"
#include "core/base/os.h"
#include "core/base/os_memory.h"
#include "test/child.h"
#include "test/refuse.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

char theirs[100];
void* freed;

constexpr Neighbour kNext{
    [](const void* ptr) { return ptr == theirs; },
    [](void* ptr) { freed = ptr; },
    [](void* ptr, size_t size) -> void* {
      return static_cast<char*>(ptr) + size;
    },
    [](const void*) { return sizeof(theirs); },
};

class NeighbourTest : public testing::Test {
 protected:
  void SetUp() override {
    neighbour = &kNext;
    freed = nullptr;
  }
  void TearDown() override { neighbour = nullptr; }
};

TEST_F(NeighbourTest, GetsItsBlocks) {
  Free(theirs, "test");
  EXPECT_EQ(freed, theirs);
  EXPECT_EQ(Reallocate(theirs, 7, "test"), theirs + 7);
  EXPECT_EQ(UsableSize(theirs, "test"), sizeof(theirs));
}

TEST_F(NeighbourTest, GetsNoOther) {
  void* block = Allocate(100);
  EXPECT_GE(UsableSize(block, "test"), 100u);
  Free(Reallocate(block, 1000, "test"), "test");
  EXPECT_EQ(freed, nullptr);
  for (int call = 0; call < 3; ++call) {
    const int status = StatusOfChild([call] {
      if (call == 0) Free(theirs + 16, "test");
      if (call == 1) Reallocate(theirs + 16, 10, "test");
      if (call == 2) UsableSize(theirs + 16, "test");
    });
    EXPECT_TRUE(WIFSIGNALED(status)) << status;
  }
}

// A page with nothing behind it; its end can be read, and not beyond.
class BeforeAHole {
 public:
  BeforeAHole()
      : start_(
            static_cast<char*>(mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    EXPECT_EQ(munmap(end(), page_), 0);
    Fill(start_, page_, 3);
  }
  ~BeforeAHole() { munmap(start_, page_); }

  void ExpectReadUpToItsEnd() const {
    char copy[16];
    errno = 0;
    EXPECT_TRUE(os::CopyFrom(end() - 16, copy, 16));
    EXPECT_EQ(memcmp(copy, end() - 16, 16), 0);
    EXPECT_FALSE(os::CopyFrom(end() - 8, copy, 16)) << "half of it is there";
    EXPECT_FALSE(os::CopyFrom(end(), copy, 16));
    EXPECT_FALSE(os::CopyFrom(nullptr, copy, 16));
    EXPECT_EQ(errno, 0);
  }

  char* end() const { return start_ + page_; }

 private:
  const size_t page_ = os::PageSize();
  char* const start_;
};

TEST(OsTest, MemoryThatIsNotThereIsNotRead) {
  BeforeAHole().ExpectReadUpToItsEnd();
}

// As filters of containers do.
TEST(OsTest, MemoryIsReadWhereOneWayIsRefused) {
  InChild([] {
    const BeforeAHole page;
    Refuse(SYS_process_vm_readv, EPERM);
    page.ExpectReadUpToItsEnd();
    Refuse(SYS_futex, EPERM);
    char copy[16];
    EXPECT_FALSE(os::CopyFrom(page.end() - 16, copy, 16));
  });
}

TEST(OsTest, TheBreakIsWhereSbrkSays) {
  EXPECT_EQ(os::Break(), reinterpret_cast<size_t>(sbrk(0)));
}

}  // namespace
}  // namespace aomalloc
