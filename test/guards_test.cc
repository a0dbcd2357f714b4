// Guards of the hardened build where the system has none, or some of them; and
// what becomes of locked memory.
#include "core/arena/guards.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <vector>

#include "core/allocator.h"
#include "core/base/os_memory.h"
#include "test/child.h"
#include "test/refuse.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

static_assert(hardening::kOn);

constexpr size_t kMiB = size_t{1} << 20;

void FreeBlock(void* ptr) { Free(ptr, "test"); }

// What a program might do with blocks of all sizes.
void Use() {
  std::vector<std::pair<void*, size_t>> blocks;
  for (size_t size = 1; size < kMiB; size += 1 + size / 2) {
    for (int i = 0; i < 3; ++i) {
      void* block = AllocateZeroed(size / 2 + 1);
      ASSERT_NE(block, nullptr) << size;
      ASSERT_TRUE(IsZero(block, size / 2 + 1)) << size;
      block = Reallocate(block, size, "test");
      ASSERT_NE(block, nullptr) << size;
      Fill(block, size, static_cast<uint8_t>(size));
      blocks.emplace_back(block, size);
    }
  }
  for (const auto& [block, size] : blocks) {
    ASSERT_TRUE(IsFilled(block, size, static_cast<uint8_t>(size))) << size;
    FreeBlock(block);
  }
  EXPECT_TRUE(HeapsAreValid());
}

size_t UsedUnits() {
  Trim();
  size_t units = 0;
  for (int i = 1; memory::ArenaAt(i) != nullptr; ++i) {
    units += memory::ArenaAt(i)->used_units();
  }
  return units;
}

// Whatever the system refuses from some time on, with whatever error, blocks
// can be had, and what is freed can be used again.
TEST(GuardsTest, AnyOneCallCanBeRefused) {
  for (const int call : {SYS_mprotect, SYS_madvise, SYS_mremap, SYS_mmap}) {
    for (const int error : kRefusals) {
      SCOPED_TRACE(testing::Message() << "call " << call << ": " << error);
      InChild([=] {
        memory::EnableMmap();
        Use();
        Use();
        Refuse(static_cast<unsigned>(call), static_cast<unsigned>(error));
        Use();
        const size_t used = UsedUnits();
        Use();
        Use();
        EXPECT_LE(UsedUnits(), used);
      });
    }
  }
}

// Then there are none.
TEST(GuardsTest, AllGuardsCanBeRefused) {
  InChild([] {
    memory::EnableMmap();
    Use();
    constexpr unsigned kGuards = 64;  // what 102 and 103 have and others not
    constexpr unsigned kAdvice = 2;
    RefuseIf(SYS_madvise, kAdvice, kGuards, EINVAL);
    Refuse(SYS_mprotect, EPERM);
    Use();
    const size_t used = UsedUnits();
    Use();
    EXPECT_LE(UsedUnits(), used);
  });
}

TEST(GuardsTest, LockedBlocksAreFreedLikeOthers) {
  for (const bool all : {false, true}) {
    InChild([all] {
      memory::EnableMmap();
      if (all && mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        // Who may lock no more than a little may not lock 256 GiB of addresses.
        ASSERT_NE(errno, EFAULT);
      }
      for (int round = 0; round < 3; ++round) {
        for (const size_t size : {100, 5000, 100000, 3000000}) {
          auto* block = static_cast<char*>(Allocate(size));
          memset(block, 1, size);
          mlock(block, size);
          block = static_cast<char*>(Reallocate(block, 2 * size, "test"));
          ASSERT_EQ(block[size - 1], 1);
          mlock(block + size / 2, 1);
          FreeBlock(block);
        }
        Use();
      }
    });
  }
}

bool CanBeRead(const volatile char* address) {
  return StatusOfChild([=] {
           signal(SIGSEGV, SIG_DFL);
           (void)*address;
         }) == 0;
}

// A process that has all the mappings it may have gets back what it frees.
TEST(GuardsTest, NoMappingIsNeededToRemoveGuards) {
  InChild([] {
    memory::EnableMmap();
    // So much is accessible, as more may take a mapping more.
    FreeBlock(Allocate(64 * kMiB));
    for (int round = 0; round < 3; ++round) Use();
    const size_t used = UsedUnits();
    // Mappings that do not merge.
    while (mmap(nullptr, os::PageSize(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0) != MAP_FAILED &&
           mmap(nullptr, os::PageSize(), PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
    }
    for (int round = 0; round < 3; ++round) Use();
    EXPECT_LE(UsedUnits(), used);
  });
}

// So many are mappings; whether there are more depends on the kernel.
TEST(GuardsTest, GuardsDoNotUseUpAllMappings) {
  InChild([] {
    memory::EnableMmap();
    const char* block = nullptr;
    for (size_t i = 0; i < guards::kMostMappings + 100; ++i) {
      block = static_cast<char*>(Allocate(40000));
      ASSERT_NE(block, nullptr);
    }
    EXPECT_LT(CountMappings(), 2 * guards::kMostMappings + 200);
    void* page = os::Map(os::PageSize(), os::PageSize());
    const bool has_others = os::Guard(page, os::PageSize());
    EXPECT_EQ(CanBeRead(block + memory::kMappedUnitBytes), !has_others);
    EXPECT_TRUE(CanBeRead(block));
  });
}

}  // namespace
}  // namespace aomalloc
