// System calls of which there are two kinds, for systems that have only one.
#include "core/os.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include "test/child.h"

namespace aomalloc {
namespace {

// True if nobody can read there.
bool IsGuarded(const volatile char* address) {
  const int status = StatusOfChild([=] {
    signal(SIGSEGV, SIG_DFL);
    (void)*address;
  });
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

// Linux cannot put guards into locked memory, as it could nowhere before 6.13.
TEST(OsTest, GuardsComeAndGo) {
  for (const bool locked : {false, true}) {
    const size_t page = os::PageSize();
    auto* pages =
        static_cast<char*>(mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(pages, MAP_FAILED);
    if (locked) {
      ASSERT_EQ(mlock(pages, 3 * page), 0);
    }
    for (size_t i = 0; i < 3; ++i) pages[i * page] = 1;
    EXPECT_TRUE(os::Guard(pages + page, page));
    EXPECT_TRUE(IsGuarded(pages + page));
    EXPECT_FALSE(IsGuarded(pages));
    EXPECT_FALSE(IsGuarded(pages + 2 * page));
    munlock(pages, 3 * page);
    EXPECT_TRUE(os::Unguard(pages + page, page));
    EXPECT_FALSE(IsGuarded(pages + page));
    pages[page] = 1;
    EXPECT_EQ(pages[0] + pages[page] + pages[2 * page], 3);
    munmap(pages, 3 * page);
  }
}

}  // namespace
}  // namespace aomalloc
