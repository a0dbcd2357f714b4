// An arena that grows where it is: into what is free, past what is in the way,
// and after whatever happened to a thread in the middle of it.
#include "core/arena/growth.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <new>
#include <set>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/arena/arena.h"
#include "core/arena/make_arena.h"
#include "core/base/os_memory.h"
#include "test/child.h"
#include "test/growing.h"
#include "test/refuse.h"
#include "test/step.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own

// Of the process, as the kernel counts them.
constexpr int kFixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;

size_t LockedBytes() {
  FILE* file = fopen("/proc/self/status", "re");
  if (file == nullptr) return 0;
  char line[200];
  size_t kilobytes = 0;
  while (fgets(line, sizeof(line), file) != nullptr) {
    if (sscanf(line, "VmLck: %zu", &kilobytes) == 1) break;
  }
  fclose(file);
  return kilobytes << 10;
}

TEST(GrowthTest, ItHasNothingUntilItIsUsedAndThenByChunks) {
  Growing test;
  EXPECT_EQ(test.arena->accessible_units(), 0u);
  for (size_t i = 0; i < 3 * kChunk; ++i) {
    ASSERT_EQ(TakeAndUse(test, 1), test.table + i);
    EXPECT_EQ(test.arena->accessible_units(), (i / kChunk + 1) * kChunk);
  }
  EXPECT_EQ(test.arena->used_units(), 3 * kChunk);
  EXPECT_EQ(TakeAndUse(test, 5 * kChunk + 1), test.table + 3 * kChunk);
  EXPECT_EQ(test.arena->accessible_units(), 9 * kChunk);
  EXPECT_EQ(TakeAndUse(test, kChunk - 1), test.table + 8 * kChunk + 1);
}

TEST(GrowthTest, ItGrowsByA32ndAndLittle) {
  Growing test;
  ASSERT_NE(test.arena->Take(128 * kChunk, 1).run, nullptr);
  ASSERT_NE(test.arena->Take(1, 1).run, nullptr);
  EXPECT_EQ(test.arena->accessible_units(), 132 * kChunk);
  ASSERT_NE(test.arena->Take(1000 * kChunk, 1).run, nullptr);
  const size_t there = test.arena->accessible_units();
  ASSERT_NE(test.arena->Take(9 * kChunk, 1).run, nullptr);
  EXPECT_LE(test.arena->accessible_units(), there + 17 * kChunk);
}

// What is free at the end of memory is not left behind, wherever that is.
TEST(GrowthTest, LargeRunsFollowOneAnother) {
  Growing test;
  constexpr size_t kLarge = 2241;  // units, 140 MiB
  for (size_t i = 0; i < 20; ++i) {
    ASSERT_EQ(test.arena->Take(kLarge, 1).run, test.table + i * kLarge);
  }
  EXPECT_LE(test.arena->accessible_units(), 20 * kLarge + 9 * kChunk);
}

// Then calloc need not write to all of it.
TEST(GrowthTest, ALargeRunThatBeginsWithUsedMemoryIsZero) {
  Growing test;
  ASSERT_EQ(test.IndexOf(TakeAndUse(test, 7)), 0u);
  test.arena->Return(TakeAndUse(test, kChunk), /*dirty=*/true);
  ASSERT_EQ(test.arena->dirty_units(), kChunk);
  const Arena::Taken taken = test.arena->Take(10 * kChunk, 1);
  ASSERT_EQ(test.IndexOf(taken.run), 7u);
  EXPECT_TRUE(taken.zeroed);
  EXPECT_EQ(taken.run->base[0], 0);
  EXPECT_EQ(test.arena->dirty_units(), 0u);
}

// Of one that is mostly used memory, that is kept.
TEST(GrowthTest, ALargeRunKeepsWhatIsMostOfIt) {
  Growing test;
  ASSERT_EQ(test.IndexOf(TakeAndUse(test, 7)), 0u);
  test.arena->Return(TakeAndUse(test, 9 * kChunk), /*dirty=*/true);
  const Arena::Taken taken = test.arena->Take(10 * kChunk, 1);
  ASSERT_EQ(test.IndexOf(taken.run), 7u);
  EXPECT_FALSE(taken.zeroed);
  EXPECT_EQ(test.arena->purged_units(), 0u);
}

TEST(GrowthTest, RunsAreAligned) {
  Growing test;
  for (size_t alignment = kUnit; alignment <= kUnit << 10; alignment *= 2) {
    ASSERT_NE(TakeAndUse(test, 1, alignment), nullptr) << alignment;
  }
  EXPECT_LT(test.arena->accessible_units(), 3u << 10);
  EXPECT_EQ(test.arena->Take(1, size_t{1} << 62).run, nullptr);
  EXPECT_EQ(test.arena->Take(kUnits + 1, 1).run, nullptr);
  EXPECT_EQ(test.arena->Take(~size_t{0}, 1).run, nullptr);
}

// What a program has mapped there stays as it is.
TEST(GrowthTest, WhatIsInTheWayIsPassedBy) {
  Growing test;
  test.Occupy(test.At(kChunk + 3));
  test.Occupy(test.At(4 * kChunk));
  for (size_t i = 0; i < 2 * kChunk; ++i) {
    const size_t unit = i < kChunk ? i : i + kChunk;
    ASSERT_EQ(TakeAndUse(test, 1), test.table + unit);
  }
  // Not between the two, and little more than what is in the way is given up.
  Descriptor* run = TakeAndUse(test, 2 * kChunk);
  ASSERT_NE(run, nullptr);
  EXPECT_GE(test.IndexOf(run), 5 * kChunk);
  EXPECT_LE(test.IndexOf(run), 6 * kChunk);
  EXPECT_TRUE(test.IsUntouched(test.At(kChunk + 3)));
  EXPECT_TRUE(test.IsUntouched(test.At(4 * kChunk)));
}

TEST(GrowthTest, RunsGrowBeyondTheEndOfMemory) {
  Growing test;
  Descriptor* run = TakeAndUse(test, kChunk - 2);
  ASSERT_TRUE(test.arena->Extend(run, kChunk - 1));
  EXPECT_EQ(test.arena->accessible_units(), kChunk);
  ASSERT_TRUE(test.arena->Extend(run, 3 * kChunk + 1));
  EXPECT_EQ(test.arena->accessible_units(), 4 * kChunk);
  EXPECT_EQ(run->units, 3 * kChunk + 1);
  memset(run->base, 1, run->units * kUnit);
  EXPECT_EQ(test.arena->used_units(), 3 * kChunk + 1);
  test.Occupy(test.At(6 * kChunk));
  EXPECT_FALSE(test.arena->Extend(run, 7 * kChunk));
  EXPECT_FALSE(test.arena->Extend(run, kUnits + 1));
  EXPECT_FALSE(test.arena->Extend(run, ~uint32_t{0}));
  EXPECT_EQ(run->units, 3 * kChunk + 1);
  for (size_t unit = run->units; unit < 8 * kChunk; ++unit) {
    ASSERT_FALSE(test.arena->InUse(unit)) << unit;
  }
  ASSERT_TRUE(test.arena->Extend(run, 6 * kChunk)) << "there is room for that";
  EXPECT_TRUE(test.IsUntouched(test.At(6 * kChunk)));
}

// However large it is.
TEST(GrowthTest, WhatIsInTheWayIsSoonPassedBy) {
  Growing test;
  constexpr size_t kLarge = 1000;  // chunks
  void* large = mmap(test.At(kChunk), kLarge * kChunk * kUnit, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  ASSERT_EQ(large, test.At(kChunk));
  ASSERT_EQ(TakeAndUse(test, kChunk), test.table);
  Descriptor* run = TakeAndUse(test, 1);
  ASSERT_NE(run, nullptr);
  EXPECT_GT(test.IndexOf(run), kLarge * kChunk);
  EXPECT_EQ(test.arena->accessible_units(), 2 * kChunk);
  EXPECT_FALSE(test.arena->IsAccessible(kChunk));
  EXPECT_EQ(test.arena->NextInaccessible(0), kChunk);
  munmap(large, kLarge * kChunk * kUnit);
}

// So that threads that grow do not have to wait for one that extends it.
TEST(GrowthTest, TheTableHasRoomForAsMuchAgain) {
  Growing test;
  for (size_t end = 0; end < 3 * kLargeTable;) {
    ASSERT_NE(test.arena->Take(kChunk, 1).run, nullptr);
    end = test.arena->accessible_units();
    if (end < Growth::kTableUnits / 2) continue;
    const size_t ahead = end < kLargeTable ? end : kLargeTable;
    ASSERT_GE(test.arena->units(), end + ahead);
    ASSERT_LE(test.arena->units(), end + ahead + kLargeTable);
    ASSERT_LE(test.arena->units(), 4 * end);
  }
}

TEST(GrowthTest, TheTableGrowsAheadOfNeed) {
  Growing test;
  EXPECT_EQ(test.arena->units(), Growth::kTableUnits);
  ASSERT_NE(test.arena->Take(Growth::kTableUnits / 2, 1).run, nullptr);
  EXPECT_EQ(test.arena->units(), Growth::kTableUnits);
  EXPECT_FALSE(test.arena->Contains(test.At(Growth::kTableUnits)));
  ASSERT_NE(test.arena->Take(kChunk, 1).run, nullptr);
  EXPECT_EQ(test.arena->units(), 2 * Growth::kTableUnits);
  Descriptor* run = test.arena->Take(3 * kLargeTable, 1).run;
  ASSERT_NE(run, nullptr);
  EXPECT_GT(test.arena->units(), 3 * kLargeTable);
  EXPECT_EQ(test.arena->units() % kLargeTable, 0u);
  EXPECT_TRUE(test.arena->Contains(run->base));
  run[run->units - 1].units = 1;
}

// Behind the header are the bits of used units, then those of dirty ones: a
// page for 2 GiB. What is in the way of either ends the arena there.
TEST(GrowthTest, TheBitmapsOfThePrimaryGrowWithIt) {
  if (os::PageSize() != 4096) return;  // it would take too much memory
  constexpr size_t kUsedBits = 131072;
  constexpr size_t kDirtyBits = kUsedBits + memory::kPrimaryBytes / kUnit / 8;
  for (const size_t occupied : {size_t{0}, kUsedBits, kDirtyBits}) {
    InChild([occupied] {
      constexpr size_t kOfPage = size_t{4096} * 8;
      Arena* primary = memory::MakeGrowing(memory::kPrimaryBytes, 0);
      ASSERT_NE(primary, nullptr);
      char* page = reinterpret_cast<char*>(primary) + occupied + 4096;
      if (occupied != 0) {
        ASSERT_EQ(mmap(page, 4096, PROT_READ, kFixed, -1, 0), page);
      }
      size_t taken = 0;
      Descriptor* last = nullptr;
      Descriptor* run = nullptr;
      do {
        last = run;
        run = primary->Take(4096, 1).run;
        taken += run == nullptr ? 0 : 4096;
      } while (run != nullptr && taken < 2 * kOfPage);
      if (occupied == 0) {
        ASSERT_NE(run, nullptr);
        EXPECT_TRUE(primary->InUse(taken - 1));
        primary->Return(run, /*dirty=*/true);
        EXPECT_FALSE(primary->Take(4096, 1).zeroed);
      } else {
        ASSERT_EQ(run, nullptr);
        EXPECT_EQ(primary->units(), kOfPage);
        const size_t before = AddressSpace();
        for (int i = 0; i < 20; ++i) {
          EXPECT_EQ(primary->Take(4096, 1).run, nullptr);
        }
        EXPECT_EQ(AddressSpace(), before);
        EXPECT_EQ(*page, 0);
        primary->Return(last, /*dirty=*/true);
        EXPECT_EQ(primary->Take(4096, 1).run, last);
        munmap(page, 4096);
        EXPECT_NE(primary->Take(4096, 1).run, nullptr)
            << "nothing is in the way";
      }
    });
  }
}

TEST(GrowthTest, SomethingInTheWayOfTheTableEndsIt) {
  Growing test;
  char* behind = reinterpret_cast<char*>(test.table) + kTableBytes;
  test.Occupy(behind + os::PageSize());
  ASSERT_NE(test.arena->Take(Growth::kTableUnits - kChunk, 1).run, nullptr);
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(test.arena->Take(2 * kChunk, 1).run, nullptr);
  }
  EXPECT_NE(test.arena->Take(kChunk, 1).run, nullptr);
  EXPECT_EQ(test.arena->Take(kChunk, 1).run, nullptr);
  EXPECT_EQ(test.arena->units(), Growth::kTableUnits);
  EXPECT_TRUE(test.IsUntouched(behind + os::PageSize()));
}

// More would be wanted than there is room for.
TEST(GrowthTest, TheLastChunksAreUsedToo) {
  Growing test;
  // Piece by piece: the kernel maps no more at once than the machine has.
  for (size_t i = 1; i < kTables; ++i) {
    ASSERT_NE(test.arena->Take(kLargeTable, 1).run, nullptr);
  }
  ASSERT_NE(test.arena->Take(kLargeTable - 3 * kChunk, 1).run, nullptr);
  test.Occupy(test.At(kUnits - 3 * kChunk));
  EXPECT_EQ(TakeAndUse(test, kChunk), test.table + kUnits - 2 * kChunk);
  EXPECT_EQ(TakeAndUse(test, kChunk), test.table + kUnits - kChunk);
  EXPECT_EQ(test.arena->Take(1, 1).run, nullptr);
}

TEST(GrowthTest, ThePrimaryHasRoomWhereverMappingsAre) {
  for (const int bits : {47, 42, 39}) {
    const uintptr_t there = (uintptr_t{1} << bits) - 4096;
    uintptr_t above = there;
    for (unsigned i = 0; i < memory::kPlaces; ++i) {
      const uintptr_t place =
          memory::PlaceBelow(there, i, memory::kPrimaryBytes);
      EXPECT_EQ(place % memory::kMappedUnitBytes, 0u);
      EXPECT_LT(place, bits == 47 ? above : there) << bits;
      EXPECT_GT(place, there / 8);
      if (bits == 47) {
        EXPECT_GT(there - place, memory::kPrimaryBytes);
      }
      above = place;
    }
  }
}

// One that is added where others have no room.
TEST(GrowthTest, ArenasThatGrowDoNotMeet) {
  const uintptr_t there = (uintptr_t{1} << 47) - 4096;
  uintptr_t above = there;
  for (unsigned count = 0; count < 5; ++count) {
    const size_t room = memory::kPrimaryBytes << count;
    for (unsigned i = memory::kPlaces; i-- > 0;) {
      const uintptr_t place = memory::PlaceBelow(there, count + i, room);
      EXPECT_LT(place, above - room - room / 512);
      if (i == 0) above = place;
    }
  }
}

// Huge pages can form where it begins.
TEST(GrowthTest, ThePrimaryIsAligned) {
  InChild([] {
    memory::EnableMmap();
    Free(Allocate(100), "test");
    const auto base = reinterpret_cast<uintptr_t>(memory::ArenaAt(1)->base());
    EXPECT_EQ(base % (size_t{2} << 20), 0u);
  });
}

constexpr size_t kFirst = Growth::kFirstUnits;

// An arena that begins with less than a chunk.
TEST(GrowthTest, TheFirstChunkIsCompletedFirst) {
  Growing test;
  test.arena->Begin();
  for (size_t i = 0; i < kChunk; ++i) {
    const size_t there = (i + kFirst) / kFirst * kFirst;
    if (i > 0) {
      ASSERT_EQ(TakeAndUse(test, 1), test.table + i - 1);
    }
    if (i % kFirst == 0) continue;
    ASSERT_EQ(test.arena->accessible_units(), there) << i;
    ASSERT_EQ(test.arena->end(), there) << i;
    ASSERT_EQ(test.arena->NextInaccessible(0), there) << i;
    ASSERT_TRUE(test.arena->Contains(test.At(there) - 1));
    ASSERT_FALSE(test.arena->Contains(test.At(there)));
  }
  ASSERT_EQ(TakeAndUse(test, 1), test.table + kChunk - 1);
  EXPECT_EQ(test.arena->accessible_units(), kChunk);
  EXPECT_EQ(TakeAndUse(test, 1), test.table + kChunk);
  EXPECT_EQ(test.arena->accessible_units(), 2 * kChunk);
  EXPECT_EQ(test.arena->used_units(), kChunk + 1);
}

TEST(GrowthTest, ALargeRunLeavesTheFirstChunkAlone) {
  Growing test;
  test.arena->Begin();
  ASSERT_EQ(TakeAndUse(test, 3), test.table);
  EXPECT_EQ(TakeAndUse(test, kChunk + 1), test.table + kChunk);
  EXPECT_EQ(test.arena->accessible_units(), kFirst + 2 * kChunk);
  EXPECT_EQ(TakeAndUse(test, kFirst - 3), test.table + 3);
}

TEST(GrowthTest, ARunGrowsInPlaceWithTheFirstChunk) {
  Growing test;
  test.arena->Begin();
  Descriptor* run = TakeAndUse(test, 3);
  ASSERT_EQ(run, test.table);
  EXPECT_TRUE(test.arena->Extend(run, kFirst + 1));
  EXPECT_EQ(test.arena->accessible_units(), 2 * kFirst);
  EXPECT_TRUE(test.arena->Extend(run, kChunk + 1));
  EXPECT_EQ(test.arena->accessible_units(), 2 * kChunk);
  run->base[(kChunk + 1) * kUnit - 1] = 1;
  EXPECT_EQ(test.arena->used_units(), kChunk + 1);
}

// Then the rest of the chunk is in use by nobody, and is not ours.
TEST(GrowthTest, WhatIsInTheWayOfTheFirstChunkStays) {
  for (size_t there = kFirst; there < kChunk; there += kFirst) {
    Growing test;
    test.Occupy(test.At(there));
    test.arena->Begin();
    for (size_t i = 0; i < there; i += kFirst) {
      ASSERT_EQ(TakeAndUse(test, kFirst), test.table + i);
    }
    for (size_t i = 0; i <= kChunk; ++i) {
      ASSERT_EQ(TakeAndUse(test, 1), test.table + kChunk + i);
    }
    EXPECT_TRUE(test.IsUntouched(test.At(there)));
    EXPECT_EQ(test.arena->accessible_units(), there + 2 * kChunk);
    EXPECT_FALSE(test.arena->Contains(test.At(there)));
    EXPECT_FALSE(test.arena->IsAccessible(there));
    EXPECT_FALSE(test.arena->InUse(there));
    EXPECT_EQ(test.arena->NextInaccessible(0), there);
    EXPECT_EQ(test.arena->NextInaccessible(kChunk), 3 * kChunk);
  }
}

TEST(GrowthTest, TheFirstChunkMayBeRefused) {
  InChild([] {
    Growing test;
    const rlimit limit{AddressSpace(), RLIM_INFINITY};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    test.arena->Begin();
    EXPECT_EQ(test.arena->accessible_units(), 0u);
    EXPECT_EQ(test.arena->Take(1, 1).run, nullptr);
    const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &none), 0);
    EXPECT_EQ(TakeAndUse(test, 1), test.table);
    EXPECT_EQ(test.arena->accessible_units(), kChunk);
  });
}

TEST(GrowthTest, TheRestOfTheFirstChunkMayBeRefused) {
  InChild([] {
    Growing test;
    test.arena->Begin();
    const rlimit limit{AddressSpace(), RLIM_INFINITY};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    EXPECT_EQ(test.arena->Take(kFirst + 1, 1).run, nullptr);
    EXPECT_EQ(TakeAndUse(test, kFirst), test.table);
    EXPECT_EQ(test.arena->Take(1, 1).run, nullptr);
    const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &none), 0);
    EXPECT_EQ(TakeAndUse(test, 1), test.table + kFirst) << "granted later";
  });
}

// What is refused may be granted later, in the same place.
TEST(GrowthTest, ARefusalCostsNoAddresses) {
  InChild([] {
    Growing test;
    ASSERT_NE(TakeAndUse(test, kChunk), nullptr);
    const rlimit limit{AddressSpace() + 2 * kChunk * kUnit, RLIM_INFINITY};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    const size_t before = AddressSpace();
    for (int i = 0; i < 100; ++i) {
      ASSERT_EQ(test.arena->Take(3 * kChunk, 1).run, nullptr);
      ASSERT_EQ(test.arena->Take(kUnits - 2 * kChunk, 1).run, nullptr);
    }
    EXPECT_EQ(AddressSpace(), before) << "not for the table either";
    Descriptor* run = TakeAndUse(test, kChunk);
    ASSERT_EQ(run, test.table + kChunk) << "what there is can be had";
    EXPECT_FALSE(test.arena->Extend(run, 3 * kChunk));
    const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
    ASSERT_EQ(setrlimit(RLIMIT_AS, &none), 0);
    EXPECT_TRUE(test.arena->Extend(run, 3 * kChunk));
  });
}

// Takes a run where others take some as well. It may be refused while one of
// them stands between mapping more of the table and saying so, and only then:
// null if none of the `busy` has done that.
Descriptor* TakeBesideOthers(const Growing& test, size_t count,
                             std::atomic<int>* busy) {
  while (true) {
    const size_t units = test.arena->units();
    ++*busy;
    Descriptor* run = TakeAndUse(test, count);
    --*busy;
    if (run != nullptr) return run;
    bool others_left = false;
    while (test.arena->units() == units) {
      if (others_left) return nullptr;
      sched_yield();
      others_left = *busy == 0;  // what they have said is looked at again
    }
  }
}

TEST(GrowthTest, ThreadsGetDifferentUnits) {
  Growing test;
  constexpr int kThreads = 4;
  std::vector<Descriptor*> taken[kThreads];
  std::atomic<int> busy = 0;
  InThreads(kThreads, [&](int id) {
    for (size_t i = 0; i < 300; ++i) {
      Descriptor* run = TakeBesideOthers(test, 1 + i % (kChunk + 3), &busy);
      ASSERT_NE(run, nullptr);
      run->base[0] = static_cast<char>(id);
      if (i % 3 == 0) {
        ++busy;
        test.arena->Extend(run, run->units + 7);
        --busy;
      }
      taken[id].push_back(run);
    }
  });
  std::set<size_t> units;
  for (int id = 0; id < kThreads; ++id) {
    for (const Descriptor* run : taken[id]) {
      EXPECT_EQ(run->base[0], id);
      for (size_t i = 0; i < run->units; ++i) {
        ASSERT_TRUE(units.insert(test.IndexOf(run) + i).second);
      }
    }
  }
  EXPECT_EQ(test.arena->used_units(), units.size());
}

// What the primary has passed by is none of it.
TEST(GrowthTest, AddressesInHolesAreNotOurs) {
  InChild([] {
    memory::EnableMmap();
    Free(Allocate(100), "test");
    const Arena* primary = memory::ArenaAt(1);
    char* page = primary->base() + primary->end() * kUnit;
    ASSERT_EQ(mmap(page, os::PageSize(), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
              page);
    void* block = Allocate((primary->end() + 1) * kUnit);
    ASSERT_GT(block, page);
    EXPECT_EQ(memory::RunAtSlow(page), nullptr);
    EXPECT_EQ(memory::ArenaOf(page), nullptr);
    EXPECT_EQ(memory::RunAtSlow(block), memory::RunAt(block));
    Free(block, "test");
  });
}

// What is mapped later is locked, if a program wants that.
TEST(GrowthTest, WhatIsAllocatedAfterLockingWhatIsToComeIsLocked) {
  InChild([] {
    constexpr size_t kBytes = size_t{20} << 20;
    memory::EnableMmap();
    Free(Allocate(100), "test");
    if (mlockall(MCL_FUTURE) != 0) return;  // it may lock nothing, then
    void* block = Allocate(kBytes);
    if (block == nullptr) return;  // or not so much
    EXPECT_GE(LockedBytes(), kBytes);
  });
}

#if defined(__x86_64__)

// Writes to both ends of a run.
void Touch(const Descriptor* run) {
  run->base[0] = 1;
  run->base[run->units * kUnit - 1] = 1;
}

// The chunks that a thread may keep back that is stopped while it grows; the
// others grow on.
TEST(GrowthTest, StoppedAnywhereItKeepsBackWhatItWasAbout) {
  for (const bool extend : {false, true}) {
    bool abandoned = true;
    int limit = 0;
    while (abandoned) {
      SCOPED_TRACE(testing::Message() << extend << " " << limit);
      Growing test;
      Descriptor* run = test.arena->Take(kChunk, 1).run;
      abandoned = Stepper::Abandon(
          [&] {
            if (extend) {
              test.arena->Extend(run, 2 * kChunk);
            } else {
              test.arena->Take(kChunk, 1);
            }
          },
          limit += 13 * Stepper::kStride);
      Descriptor* other = test.arena->Take(kChunk, 1).run;
      ASSERT_NE(other, nullptr);
      Touch(other);
      Descriptor* last = test.arena->Take(kChunk, 1).run;
      ASSERT_NE(last, nullptr);
      Touch(last);
      ASSERT_LE(test.IndexOf(last), 3 * kChunk);
      ASSERT_LE(test.arena->end(), 4 * kChunk);
    }
    EXPECT_GT(limit, 100);
  }
}

// The rest of the first chunk, at most.
TEST(GrowthTest, StoppedWhileTheFirstChunkGrowsItKeepsTheRest) {
  bool abandoned = true;
  int limit = 0;
  while (abandoned) {
    SCOPED_TRACE(limit);
    Growing test;
    test.arena->Begin();
    ASSERT_EQ(test.arena->Take(kFirst, 1).run, test.table);
    abandoned = Stepper::Abandon([&] { test.arena->Take(1, 1); },
                                 limit += 13 * Stepper::kStride);
    for (int i = 0; i < 2; ++i) {
      Descriptor* other = test.arena->Take(1, 1).run;
      ASSERT_NE(other, nullptr);
      Touch(other);
      ASSERT_TRUE(test.arena->Contains(other->base));
      ASSERT_LE(test.IndexOf(other), kChunk + 1);
    }
    ASSERT_LE(test.arena->end(), 2 * kChunk);
  }
  EXPECT_GT(limit, 100);
}

TEST(GrowthTest, TwoThatGrowTheFirstChunkGetDifferentUnits) {
  int steps = 1;
  for (int at = 1; at <= steps; at += 13 * Stepper::kStride) {
    SCOPED_TRACE(at);
    Growing test;
    test.arena->Begin();
    Descriptor* mine = nullptr;
    Descriptor* theirs = nullptr;
    Stepper::Run([&] { mine = test.arena->Take(kFirst + 1, 1).run; },
                 [&](int n) {
                   steps = n;
                   if (n == at) theirs = test.arena->Take(kFirst + 1, 1).run;
                 });
    ASSERT_NE(mine, nullptr);
    ASSERT_NE(theirs, nullptr);
    Touch(mine);
    Touch(theirs);
    EXPECT_EQ(test.arena->used_units(), 2 * (kFirst + 1));
    EXPECT_LE(test.arena->end(), 2 * kChunk);
  }
  EXPECT_GT(steps, 100);
}

// At each instruction of one that grows another grows as well.
TEST(GrowthTest, TwoThatGrowGetDifferentChunks) {
  int steps = 1;
  for (int at = 1; at <= steps; at += 13 * Stepper::kStride) {
    SCOPED_TRACE(at);
    Growing test;
    Descriptor* mine = nullptr;
    Descriptor* theirs = nullptr;
    Stepper::Run([&] { mine = test.arena->Take(kChunk + 1, 1).run; },
                 [&](int n) {
                   steps = n;
                   if (n == at) theirs = test.arena->Take(kChunk + 1, 1).run;
                 });
    ASSERT_NE(mine, nullptr);
    ASSERT_NE(theirs, nullptr);
    Touch(mine);
    Touch(theirs);
    EXPECT_EQ(test.arena->used_units(), 2 * (kChunk + 1));
    EXPECT_LE(test.arena->end(), 5 * kChunk);
  }
  EXPECT_GT(steps, 100);
}

// One thread is stopped when it has mapped more of the table and not yet said
// so, and goes on at each instruction of another that needs it too. Until that
// has let go of its chunks it has not given up.
TEST(GrowthTest, WhoFindsTheTableOccupiedLooksAgain) {
  constexpr size_t kFirstUnits = Growth::kTableUnits / 2 + kChunk;
  int steps = 1;
  for (int at = 1; at <= steps; at += 29 * Stepper::kStride) {
    SCOPED_TRACE(at);
    Growing test;
    const pthread_t self = pthread_self();
    std::atomic<bool> stopped = false;
    std::atomic<bool> goes_on = false;
    std::atomic<bool> done = false;
    bool had_chunks = false;
    bool gave_up = false;
    steps = 0;
    char* behind = reinterpret_cast<char*>(test.table) + kTableBytes;
    const auto extending = [&] {
      unsigned char resident;
      return test.arena->units() == Growth::kTableUnits &&
             mincore(behind, 1, &resident) == 0;
    };
    Stepper::Run([] {},
                 [&](int) {
                   if (pthread_self() != self) {
                     if (stopped || !extending()) return;
                     stopped = true;
                     while (!goes_on) sched_yield();
                     return;
                   }
                   const bool has =
                       Bitmap(test.claimed).IsSet(kFirstUnits / 64);
                   if (stopped && ++steps <= at) {
                     gave_up = had_chunks && !has;
                     had_chunks |= has;
                   }
                   if (steps != at) return;
                   goes_on = true;
                   while (!done) sched_yield();
                 });
    std::thread other([&] {
      Stepper::SetTrap();
      test.arena->Take(kFirstUnits, 1);
      Stepper::ClearTrap();
      done = true;
    });
    while (!stopped) sched_yield();
    Stepper::SetTrap();
    const Descriptor* run = test.arena->Take(Growth::kTableUnits, 1).run;
    Stepper::ClearTrap();
    goes_on = true;
    other.join();
    if (!gave_up && at <= steps) {
      ASSERT_NE(run, nullptr);
    }
  }
  EXPECT_GT(steps, 100);
}

#endif

}  // namespace
}  // namespace aomalloc
