// Heaps that are larger than the primary may be: further arenas, which grow and
// shrink like it. What is allocated here is hardly touched.
#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <vector>

#include "core/allocator.h"
#include "core/arena/make_arena.h"
#include "test/child.h"
#include "test/step.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kGiB = size_t{1} << 30;

void FreeBlock(void* ptr) { Free(ptr, "test"); }

size_t Addresses() {
  FILE* file = fopen("/proc/self/statm", "re");
  size_t pages = 0;
  if (file == nullptr || fscanf(file, "%zu", &pages) != 1) ADD_FAILURE();
  if (file != nullptr) fclose(file);
  return pages * os::PageSize();
}

size_t CountArenas() {
  int count = 0;
  while (memory::MappedAt(count) != nullptr) ++count;
  return static_cast<size_t>(count);
}

// So much address space; it need not be had.
std::vector<char*> AllocateMany(size_t count, size_t size) {
  std::vector<char*> blocks;
  for (size_t i = 0; i < count; ++i) {
    auto* block = static_cast<char*>(Allocate(size));
    if (block == nullptr) break;
    block[0] = static_cast<char>(i);
    block[size - 1] = static_cast<char>(i);
    blocks.push_back(block);
  }
  return blocks;
}

TEST(FurtherTest, AHeapOfATebibyteComesAndGoes) {
  InChild([] {
    memory::EnableMmap();
    FreeBlock(Allocate(100));
    const size_t before = Addresses();
    constexpr size_t kCount = 1024;
    for (int round = 0; round < 2; ++round) {
      std::vector<char*> blocks = AllocateMany(kCount, kGiB);
      ASSERT_EQ(blocks.size(), kCount);
      EXPECT_LE(Addresses() - before, kCount * kGiB / 100 * 112);
      // Each further arena has room for as much as there is.
      EXPECT_LE(CountArenas(), 4u);
      for (size_t i = 0; i < kCount; ++i) {
        ASSERT_EQ(blocks[i][0], static_cast<char>(i));
        ASSERT_EQ(blocks[i][kGiB - 1], static_cast<char>(i));
        const Descriptor* run = memory::RunAt(blocks[i]);
        ASSERT_EQ(run->kind, RunKind::kSpan);
        ASSERT_EQ(memory::ArenaOf(blocks[i]), memory::ArenaOfRun(run));
        ASSERT_GE(UsableSize(blocks[i], "test"), kGiB);
      }
      for (char* block : blocks) FreeBlock(block);
      // The descriptors stay: a 512th.
      EXPECT_LE(Addresses() - before, kCount * kGiB / 512 + 64 * kMiB);
    }
    EXPECT_TRUE(HeapsAreValid());
  });
}

TEST(FurtherTest, BlocksOfAllSizes) {
  InChild([] {
    memory::EnableMmap();
    std::vector<char*> large = AllocateMany(256, kGiB);
    ASSERT_EQ(large.size(), 256u);
    std::vector<std::pair<void*, size_t>> blocks;
    for (size_t size = 1; size < 20 * kMiB; size += 1 + size / 2) {
      // The primary has some room left for small ones.
      for (size_t i = 0; i < 1 + 10 * kMiB / size / 100; ++i) {
        void* block = Reallocate(Allocate(size / 2 + 1), size, "test");
        ASSERT_NE(block, nullptr) << size;
        Fill(block, size, static_cast<uint8_t>(size));
        blocks.emplace_back(block, size);
      }
    }
    const Arena* second = memory::MappedAt(1);
    ASSERT_NE(second, nullptr);
    EXPECT_TRUE(second->grows());
    EXPECT_GT(second->used_units(), 0u);
    for (const auto& [block, size] : blocks) {
      ASSERT_TRUE(IsFilled(block, size, static_cast<uint8_t>(size))) << size;
      FreeBlock(block);
    }
    for (char* block : large) FreeBlock(block);
    EXPECT_TRUE(HeapsAreValid());
  });
}

// Puts a mapping in the way of the primary that is as large as it may be. The
// primary finds that out, but may have nothing else yet.
void BlockPrimary() {
  FreeBlock(Allocate(100));
  const Arena* primary = memory::MappedAt(0);
  char* end = primary->base() + primary->end() * memory::kMappedUnitBytes;
  ASSERT_EQ(
      mmap(end, memory::kPrimaryBytes, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0),
      end);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &limit), 0);
  const rlimit little{kGiB, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_AS, &little), 0);
  ASSERT_EQ(Allocate(10 * kMiB), nullptr);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

// What is in the way of the primary, all the way, is passed by.
TEST(FurtherTest, WhereThePrimaryIsBlockedThereIsAnother) {
  InChild([] {
    memory::EnableMmap();
    BlockPrimary();
    ASSERT_EQ(CountArenas(), 1u);
    const std::vector<char*> blocks = AllocateMany(100, 10 * kMiB);
    EXPECT_EQ(blocks.size(), 100u);
    EXPECT_EQ(CountArenas(), 2u);
    EXPECT_TRUE(memory::MappedAt(1)->grows());
    for (char* block : blocks) FreeBlock(block);
  });
}

TEST(FurtherTest, OneHasRoomForTheLargestBlock) {
  for (const size_t bytes : {kGiB, 300 * kGiB, size_t{20} << 40}) {
    Arena* arena = memory::MakeFurther(bytes, kGiB);
    ASSERT_NE(arena, nullptr) << bytes;
    EXPECT_TRUE(arena->HasRoomFor(bytes / memory::kMappedUnitBytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(arena->base()) % (2 * kMiB), 0u);
    memory::UnmakeGrower(arena);
  }
}

TEST(FurtherTest, WhereThereIsLessRoomItHasLess) {
  InChild([] {
    const rlimit limit{100 * kGiB, RLIM_INFINITY};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    Arena* arena = memory::MakeFurther(kGiB, size_t{1} << 40);
    ASSERT_NE(arena, nullptr);
    constexpr size_t kUnitsOf = kGiB / memory::kMappedUnitBytes;
    EXPECT_TRUE(arena->HasRoomFor(kUnitsOf));
    EXPECT_FALSE(arena->HasRoomFor(100 * kUnitsOf));
    EXPECT_EQ(memory::MakeFurther(100 * kGiB, 0), nullptr);
    EXPECT_EQ(memory::MakeFurther(size_t{1} << 60, 0), nullptr);
  });
}

// Then it grows no more, and what it has serves again.
TEST(FurtherTest, WhatTheSystemRefusesIsNull) {
  InChild([] {
    memory::EnableMmap();
    std::vector<char*> blocks = AllocateMany(300, kGiB);
    ASSERT_EQ(blocks.size(), 300u);
    const size_t arenas = CountArenas();
    const rlimit limit{Addresses(), RLIM_INFINITY};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    for (int i = 0; i < 100; ++i) ASSERT_EQ(Allocate(kGiB), nullptr);
    EXPECT_EQ(CountArenas(), arenas);
    for (int i = 0; i < 10; ++i) {
      FreeBlock(blocks[280]);
      blocks[280] = static_cast<char*>(Allocate(kGiB));
      ASSERT_NE(blocks[280], nullptr);
    }
  });
}

#if defined(__x86_64__)

// A thread that stops while it adds an arena keeps that one back.
TEST(FurtherTest, StoppedAnywhereItKeepsBackOne) {
  bool abandoned = true;
  for (int limit = 40; abandoned; limit += 700 * Stepper::kStride) {
    SCOPED_TRACE(limit);
    // The child says whether it was abandoned.
    const int status = StatusOfChild([limit] {
      memory::EnableMmap();
      BlockPrimary();
      void* block = Allocate(100);
      const bool abandoned_here =
          Stepper::Abandon([] { Allocate(10 * kMiB); }, limit);
      std::vector<char*> blocks = AllocateMany(20, 10 * kMiB);
      ASSERT_EQ(blocks.size(), 20u);
      ASSERT_LE(CountArenas(), 2u);
      blocks.push_back(static_cast<char*>(block));
      for (char* b : blocks) FreeBlock(b);
      ASSERT_TRUE(HeapsAreValid());
      if (!abandoned_here) exit(testing::Test::HasFailure() ? 1 : 2);
    });
    ASSERT_TRUE(status == 0 || status == 2 << 8) << status;
    abandoned = status == 0;
  }
}

#endif

}  // namespace
}  // namespace aomalloc
