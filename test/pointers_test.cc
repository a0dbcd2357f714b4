// Whatever a pointer is, and whatever memory there is yet: it is reported, and
// nothing else happens.
#include "test/pointers.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "core/allocator.h"
#include "core/atomic_ops_malloc.h"
#include "test/child.h"
#include "test/step.h"
#include "test/warned.h"

namespace aomalloc {
namespace {

class PointersTest : public WarnedTest {
 protected:
  void SetUp() override { SetOnMisuse(OnMisuse::kWarn); }

  // Hands a pointer to everything that takes one. How many reports there are
  // to be.
  static int UseEverywhere(void* ptr) {
    errno = 77;
    AO_free(ptr);
    Free(ptr, "free");
    FreeSized(ptr, 100, "free");
    FreeAlignedSized(ptr, 64, 100, "free");
    EXPECT_EQ(UsableSize(ptr, "usable"), 0u);
    EXPECT_EQ(errno, 77);
    EXPECT_EQ(Reallocate(ptr, 100, "realloc"), nullptr);
    EXPECT_EQ(errno, EINVAL);
    return 6;
  }

  static void UseWildOnes(const char* where) {
    int expected = 0;
    const std::string said = Said([&expected] {
      ForEachWildPointer(
          [&expected](void* ptr) { expected += UseEverywhere(ptr); });
    });
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), expected) << where;
    const std::string what = "not a block of this allocator";
    int found = 0;
    for (size_t at = 0; (at = said.find(what, at)) != said.npos; ++at) ++found;
    EXPECT_EQ(found, expected) << where;
  }
};

TEST_F(PointersTest, WildOnesAreReported) {
  InChild([] {
    UseWildOnes("before anything was allocated");
    EXPECT_NE(Allocate(100), nullptr);
    UseWildOnes("in the static heap");
    memory::EnableMmap();
    ASSERT_EQ(memory::ArenaAt(1), nullptr);
    UseWildOnes("before the first mapping");
    while (memory::ArenaAt(1) == nullptr) EXPECT_NE(Allocate(30000), nullptr);
    UseWildOnes("in the mapped heap");
    EXPECT_TRUE(HeapsAreValid());
  });
}

TEST_F(PointersTest, ThoseAtTheEdgesAreReported) {
  InChild([] {
    memory::EnableMmap();
    while (memory::ArenaAt(1) == nullptr) EXPECT_NE(Allocate(30000), nullptr);
    Arena* arena;
    for (int i = 0; (arena = memory::ArenaAt(i)) != nullptr; ++i) {
      const size_t bytes = arena->units() * arena->unit_bytes();
      for (char* edge : {arena->base(), arena->base() + bytes,
                         reinterpret_cast<char*>(arena->table()),
                         reinterpret_cast<char*>(arena)}) {
        for (int distance : {-65536, -4096, -16, -8, -1, 1, 8}) {
          int expected = 0;
          const std::string said =
              Said([&] { expected = UseEverywhere(edge + distance); });
          EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), expected)
              << "arena " << i << ", " << distance << "\n"
              << said;
        }
      }
    }
    EXPECT_TRUE(HeapsAreValid());
  });
}

#if defined(__x86_64__)

// The first mapping is made by a handler, at each of the first instructions of
// a free: what was read before it and what is read after it are not mixed.
TEST_F(PointersTest, WhileTheFirstMappingIsMade) {
  for (int n = 1; n <= 60; ++n) {
    for (const uintptr_t address : {uintptr_t{16}, uintptr_t{1} << 37}) {
      const int status = StatusOfChild([=] {
        memory::EnableMmap();
        const std::string said = Said([=] {
          Stepper::Run([=] { Free(reinterpret_cast<void*>(address), "free"); },
                       [=](int i) {
                         if (i == n) Allocate(100);
                       });
        });
        Contains(said, "not a block of this allocator");
        EXPECT_NE(memory::ArenaAt(1), nullptr);
      });
      ASSERT_EQ(status, 0) << n << ", " << address;
    }
  }
}

#endif

}  // namespace
}  // namespace aomalloc
