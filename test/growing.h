// An arena that grows where it is, for tests.
#ifndef AOMALLOC_TEST_GROWING_H_
#define AOMALLOC_TEST_GROWING_H_

#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>

#include <new>

#include "core/arena/arena.h"
#include "core/arena/growth.h"
#include "core/arena/huge_pages.h"
#include "core/arena/make_arena.h"
#include "core/base/os_memory.h"

namespace aomalloc {

constexpr size_t kUnit = memory::kMappedUnitBytes;
constexpr size_t kChunk = Growth::kChunkUnits;
constexpr size_t kLargeTable = Growth::kLargeTableUnits;
constexpr size_t kTables = 16;
constexpr size_t kUnits = kTables * kLargeTable;
constexpr size_t kWords = kUnits / 64;
constexpr size_t kTableBytes = Growth::kTableUnits * sizeof(Run);

// An arena of its own, with nothing in its place.
struct Growing {
  Growing() {
    const size_t bytes = kUnits * sizeof(Run) + kUnit + kUnits * kUnit;
    place = static_cast<char*>(os::Reserve(bytes, size_t{2} << 20));
    table = reinterpret_cast<Run*>(place);
    base = place + kUnits * sizeof(Run);
    os::Renew(place, kTableBytes);
    os::Unmap(place + kTableBytes, bytes - kTableBytes);
    huge_pages = new (huge_pages_space) HugePages(base, asked, huge);
    growth = new (growth_space) Growth(base, memory::kMappedUnitShift, table,
                                       kUnits, claimed, mapped, huge_pages);
    arena = new (arena_space) Arena(base, kUnits, memory::kMappedUnitShift,
                                    table, used, dirty, hints, growth);
  }
  // What others have mapped behind stays.
  ~Growing() {
    os::Unmap(table, arena->units() * sizeof(Run));
    os::Unmap(base, (arena->end() + 8 * kChunk) * kUnit);
  }

  char* At(size_t unit) const { return base + unit * kUnit; }
  size_t IndexOf(const Run* run) const {
    return static_cast<size_t>(run - table);
  }
  // Puts somebody else's mapping in the way.
  void Occupy(void* at) const {
    void* page = mmap(at, os::PageSize(), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    ASSERT_EQ(page, at);
    memset(page, 7, os::PageSize());
  }
  bool IsUntouched(const void* at) const {
    const char* bytes = static_cast<const char*>(at);
    return bytes[0] == 7 && memcmp(bytes, bytes + 1, os::PageSize() - 1) == 0;
  }

  char* place;
  char* base;
  Run* table;
  AtomicWord claimed[kWords / 64] = {};
  AtomicWord mapped[kWords / 64] = {};
  AtomicWord asked[kWords / 32] = {};
  AtomicWord huge[kWords / 32] = {};
  AtomicWord used[kWords] = {};
  AtomicWord dirty[kWords] = {};
  AtomicWord hints[Arena::HintsFor(kUnits)] = {};
  alignas(HugePages) char huge_pages_space[sizeof(HugePages)];
  alignas(Growth) char growth_space[sizeof(Growth)];
  alignas(Arena) char arena_space[sizeof(Arena)];
  HugePages* huge_pages;
  Growth* growth;
  Arena* arena;
};

// Takes a run and writes to all of it.
inline Run* TakeAndUse(const Growing& test, size_t count,
                       size_t alignment = 1) {
  const Arena::Taken taken = test.arena->Take(count, alignment);
  if (taken.run == nullptr) return nullptr;
  EXPECT_EQ(reinterpret_cast<uintptr_t>(taken.run->base) % alignment, 0u);
  for (size_t i = 0; i < count; ++i) {
    char* unit = taken.run->base + i * kUnit;
    if (taken.zeroed) {
      EXPECT_EQ(*unit, 0);
    }
    *unit = 1;
    unit[kUnit - 1] = 1;
  }
  return taken.run;
}

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_GROWING_H_
