// The allocator where the primary arena cannot be had: mapped memory comes in
// pieces, and no base leads to them. Also where it comes late, or has no room.
#include <errno.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <vector>

#include "core/allocator.h"
#include "core/base/os_memory.h"
#include "test/child.h"
#include "test/refuse.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kLimit = 2048 * kMiB;

void FreeBlock(void* ptr) { Free(ptr, "test"); }

template <typename F>
void WithLimit(F f) {
  InChild([&] {
    const rlimit limit{kLimit, kLimit};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    RefusePrimary();
    memory::EnableMmap();
    f();
    EXPECT_EQ(LoadRelaxed(&memory::primary_place.units), 0u);
    EXPECT_TRUE(HeapsAreValid());
  });
}

TEST(PiecesTest, BlocksOfAllSizes) {
  WithLimit([] {
    std::vector<std::pair<void*, size_t>> blocks;
    for (size_t size = 1; size < 20 * kMiB; size += 1 + size / 3) {
      for (int i = 0; i < 3; ++i) {
        void* block = Allocate(size / 2 + 1);
        ASSERT_NE(block, nullptr) << size;
        block = Reallocate(block, size, "test");
        ASSERT_NE(block, nullptr) << size;
        ASSERT_GE(UsableSize(block, "test"), size);
        Fill(block, size, static_cast<uint8_t>(size));
        blocks.emplace_back(block, size);
      }
    }
    EXPECT_NE(memory::ArenaAt(2), nullptr) << "it all fitted into one piece";
    for (const auto& [block, size] : blocks) {
      ASSERT_TRUE(IsFilled(block, size, static_cast<uint8_t>(size))) << size;
      FreeBlock(block);
    }
  });
}

TEST(PiecesTest, MostOfTheLimitCanBeUsedAgainAndAgain) {
  WithLimit([] {
    for (int round = 0; round < 3; ++round) {
      std::vector<void*> blocks;
      void* block;
      while ((block = Allocate(kMiB)) != nullptr) blocks.push_back(block);
      EXPECT_EQ(errno, ENOMEM);
      EXPECT_GE(blocks.size() * kMiB, kLimit / 20 * 19);
      for (void* b : blocks) FreeBlock(b);
    }
  });
}

// It has a primary all the same, be it limited at the start or later.
void ExpectToBeLimited(bool at_start) {
  InChild([=] {
    const rlimit limit{kLimit, RLIM_INFINITY};
    if (at_start) {
      ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    }
    memory::EnableMmap();
    ASSERT_NE(Allocate(100), nullptr);
    ASSERT_NE(LoadRelaxed(&memory::primary_place.units), 0u);
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    size_t count = 0;
    while (count * kMiB < 2 * kLimit && Allocate(kMiB) != nullptr) ++count;
    EXPECT_EQ(errno, ENOMEM);
    EXPECT_LE(count * kMiB, kLimit + AOMALLOC_STATIC_HEAP_BYTES);
    EXPECT_GE(count * kMiB, kLimit / 20 * 19);
    const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &none), 0);
    EXPECT_NE(Allocate(kMiB), nullptr);
  });
}
TEST(PiecesTest, AProgramThatIsLimited) {
  ExpectToBeLimited(/*at_start=*/true);
  ExpectToBeLimited(/*at_start=*/false);
}

// There are pieces while the limit is small. What is mapped later goes back.
TEST(PiecesTest, ThePrimaryComesWhenALimitIsRaised) {
  InChild([] {
    rlimit limit{47 * kMiB, RLIM_INFINITY};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    memory::EnableMmap();
    std::vector<void*> blocks;
    void* block;
    while ((block = Allocate(kMiB)) != nullptr) blocks.push_back(block);
    ASSERT_NE(memory::MappedAt(0), nullptr);
    EXPECT_EQ(memory::Primary(), nullptr);
    limit.rlim_cur = RLIM_INFINITY;
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    const size_t before = AddressSpace();
    for (int i = 0; i < 500; ++i) blocks.push_back(Allocate(kMiB));
    ASSERT_NE(blocks.back(), nullptr);
    EXPECT_EQ(memory::ArenaOf(blocks.back()), memory::Primary());
    EXPECT_TRUE(memory::InPrimary(blocks.back()));
    EXPECT_GT(AddressSpace(), before + 500 * kMiB);
    for (void* b : blocks) FreeBlock(b);
    EXPECT_LE(AddressSpace(), before + 20 * kMiB);
    EXPECT_TRUE(HeapsAreValid());
  });
}

// Maps what the primary may grow by.
void FillPrimary() {
  constexpr size_t kChunk = Growth::kChunkUnits * memory::kMappedUnitBytes;
  char* behind = memory::Primary()->base() + kChunk;
  ASSERT_EQ(
      mmap(behind, memory::kPrimaryBytes - kChunk, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
           -1, 0),
      behind);
}

TEST(PiecesTest, AnotherArenaGrowsWhereThePrimaryHasNoRoom) {
  InChild([] {
    memory::EnableMmap();
    ASSERT_NE(Allocate(100), nullptr);
    Arena* primary = memory::Primary();
    ASSERT_NE(primary, nullptr);
    ASSERT_NO_FATAL_FAILURE(FillPrimary());
    const size_t before = AddressSpace();
    std::vector<void*> blocks;
    for (int i = 0; i < 150; ++i) {
      blocks.push_back(Allocate(kMiB));
      ASSERT_NE(blocks.back(), nullptr);
      Fill(blocks.back(), kMiB, static_cast<uint8_t>(i));
    }
    Arena* other = memory::MappedAt(1);
    ASSERT_NE(other, nullptr);
    EXPECT_TRUE(other->grows());
    EXPECT_EQ(memory::MappedAt(2), nullptr);
    EXPECT_EQ(memory::Primary(), primary);
    EXPECT_EQ(memory::ArenaOf(blocks.back()), other);
    EXPECT_FALSE(memory::InPrimary(blocks.back()));
    EXPECT_GT(other->units(), primary->units());
    EXPECT_EQ(LoadRelaxed(&memory::primary_place.units), primary->units());
    for (int i = 0; i < 150; ++i) {
      ASSERT_TRUE(IsFilled(blocks[i], kMiB, static_cast<uint8_t>(i)));
      FreeBlock(blocks[i]);
    }
    EXPECT_LE(AddressSpace(), before + 30 * kMiB);
    EXPECT_TRUE(HeapsAreValid());
  });
}

// Maps the addresses that nobody has, except those of [start, end).
void FillAddressSpaceExcept(uintptr_t start, uintptr_t end) {
  std::vector<std::pair<uintptr_t, uintptr_t>> there{{start, end}};
  FILE* maps = fopen("/proc/self/maps", "r");
  ASSERT_NE(maps, nullptr);
  uintptr_t first;
  uintptr_t last;
  while (fscanf(maps, "%lx-%lx%*[^\n]", &first, &last) == 2) {
    there.emplace_back(first, last);
  }
  fclose(maps);
  std::sort(there.begin(), there.end());
  const auto fill = [](uintptr_t from, uintptr_t to) {
    mmap(reinterpret_cast<void*>(from), to - from, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
         0);
  };
  uintptr_t at = kMiB;
  for (const auto& [from, to] : there) {
    if (from >> 56 != 0) continue;  // the kernel's own
    if (from > at) fill(at, from);
    if (to > at) at = to;
  }
  // Programs have addresses of so many bits, without the last page.
  for (const int bits : {39, 47, 48}) {
    const uintptr_t end_of_all = (uintptr_t{1} << bits) - os::PageSize();
    if (at < end_of_all) fill(at, end_of_all);
  }
}

// Then the primary's descriptors tell what its runs there once were, and
// nothing of the piece's blocks.
TEST(PiecesTest, APieceLiesWhereThePrimaryWas) {
  InChild([] {
    constexpr size_t kUnit = memory::kMappedUnitBytes;
    constexpr size_t kWas = 64 * kMiB;
    memory::EnableMmap();
    ASSERT_NE(Allocate(100), nullptr);
    const Arena* primary = memory::Primary();
    const memory::Grant was = memory::Take({kWas, kWas, kUnit});
    ASSERT_EQ(was.arena, primary);
    // Once there was a long run at each unit.
    for (uint32_t at = 1; at < kWas / kUnit; ++at) {
      was.arena->Cut(was.run, at);
      was.run->units = kWas / kUnit;
    }
    memory::Return(was.run, /*dirty=*/false);
    memory::Trim();
    // Of the primary's chunks there the last one does not fit.
    const auto base = reinterpret_cast<uintptr_t>(primary->base());
    const uintptr_t start = base + 24 * kMiB;
    const uintptr_t end = base + 52 * kMiB - kUnit;
    for (uintptr_t at = start; at < end; at += kUnit) {
      ASSERT_FALSE(primary->IsAccessible((at - base) / kUnit));
    }
    FillAddressSpaceExcept(start, end);
    size_t bytes = end - start;
    while (Allocate(bytes) == nullptr) bytes -= kUnit;
    Arena* piece = memory::MappedAt(1);
    ASSERT_NE(piece, nullptr);
    ASSERT_FALSE(piece->grows());
    char* at = piece->base();
    ASSERT_TRUE(memory::InPrimary(at));
    FreeBlock(at);

    constexpr size_t kBlock = 2 * kMiB;
    std::vector<char*> blocks;
    while (blocks.size() < 7) {
      auto* block = static_cast<char*>(Allocate(kBlock));
      ASSERT_NE(block, nullptr);
      Fill(block, kBlock, 1);
      if (piece->Contains(block)) blocks.push_back(block);
    }
    EXPECT_EQ(memory::RunAt(blocks[0]), piece->UnitAt(blocks[0]));
    FreeBlock(blocks[6]);
    auto* zeroed = static_cast<char*>(AllocateZeroed(kBlock));
    ASSERT_EQ(zeroed, blocks[6]);
    EXPECT_TRUE(IsZero(zeroed, kBlock));

    // One that moves to the place of others, with its pages.
    FreeBlock(blocks[0]);
    FreeBlock(blocks[1]);
    munmap(reinterpret_cast<void*>(16 * kMiB), 8 * kMiB);  // for the way
    void* moved = Reallocate(blocks[3], kBlock + kUnit, "test");
    ASSERT_EQ(moved, blocks[0]);
    EXPECT_TRUE(IsFilled(moved, kBlock, 1));
    for (const int i : {2, 4, 5}) EXPECT_TRUE(IsFilled(blocks[i], kBlock, 1));
    EXPECT_TRUE(IsZero(zeroed, kBlock));

    // Blocks of slabs.
    void* small;
    do {
      small = Allocate(kMaxSmall);
      ASSERT_NE(small, nullptr);
    } while (!piece->Contains(small));
    EXPECT_EQ(memory::RunAt(small)->kind, RunKind::kSlab);
    EXPECT_TRUE(HeapsAreValid());
  });
}

// Also where that is not the primary.
TEST(PiecesTest, ALargeBlockHasTheAddressesOfFreeChunks) {
  for (const bool primary_has_room : {true, false}) {
    InChild([=] {
      memory::EnableMmap();
      ASSERT_NE(Allocate(100), nullptr);
      if (!primary_has_room) {
        ASSERT_NO_FATAL_FAILURE(FillPrimary());
      }
      std::vector<void*> blocks;
      for (int i = 0; i < 20; ++i) {
        ASSERT_NE(Allocate(8 * kMiB), nullptr);
        blocks.push_back(Allocate(10 * kMiB));
      }
      EXPECT_EQ(memory::MappedAt(1) == nullptr, primary_has_room);
      for (void* b : blocks) FreeBlock(b);
      const rlimit limit{AddressSpace() + 6 * kMiB, RLIM_INFINITY};
      ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
      EXPECT_NE(Allocate(60 * kMiB), nullptr);
    });
  }
}

// It is too large for the primary, and the system has not so much memory.
TEST(PiecesTest, NoArenaIsMadeForWhatCannotBeHad) {
  InChild([] {
    memory::EnableMmap();
    ASSERT_NE(Allocate(100), nullptr);
    const rlimit limit{kLimit, kLimit};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    const size_t before = AddressSpace();
    for (const size_t gib : {300, 3000}) {
      EXPECT_EQ(Allocate(gib << 30), nullptr);
    }
    EXPECT_EQ(memory::MappedAt(1), nullptr);
    EXPECT_EQ(AddressSpace(), before);
  });
}

// Not by way of the list for frees by others.
TEST(PiecesTest, ABlockFreedIsTheNextToBeUsed) {
  WithLimit([] {
    void* block = Allocate(100);
    EXPECT_NE(memory::ArenaOf(block), memory::ArenaAt(0));
    for (int i = 0; i < 3; ++i) {
      FreeBlock(block);
      EXPECT_FALSE(thread::current->HasRemote());
      EXPECT_EQ(Allocate(100), block);
    }
  });
}

TEST(PiecesTest, OwnAddressesAreToldFromForeignOnes) {
  WithLimit([] {
    char foreign = 0;
    auto* block = static_cast<char*>(Allocate(100000));
    Descriptor* run = memory::RunAt(block);
    ASSERT_NE(run, nullptr);
    EXPECT_EQ(run->kind, RunKind::kSpan);
    EXPECT_EQ(memory::ArenaOf(block), memory::ArenaOfRun(run));
    EXPECT_EQ(memory::ArenaOf(block + 99999), memory::ArenaOfRun(run));
    EXPECT_EQ(memory::RunAt(&foreign), nullptr);
    EXPECT_EQ(memory::ArenaOf(&foreign), nullptr);
    const Descriptor no_run{};
    EXPECT_EQ(memory::ArenaOfRun(&no_run), nullptr);
  });
}

}  // namespace
}  // namespace aomalloc
