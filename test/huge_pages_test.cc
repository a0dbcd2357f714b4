// Huge pages: for what the kernel is asked for them, and which are broken.
#include "core/arena/huge_pages.h"

#include <gtest/gtest.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <string>
#include <vector>

#include "core/allocator.h"
#include "core/arena/ceiling.h"
#include "core/arena/memory.h"
#include "core/base/os_memory.h"
#include "test/child.h"
#include "test/growing.h"
#include "test/refuse.h"
#include "test/step.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own
using Choice = HugePages::Choice;
using Effort = Arena::Effort;

constexpr size_t kPage = HugePages::kUnits;
constexpr size_t kFirst = HugePages::kFirstUnit;
constexpr size_t kLeast = 96;    // in use: 6 MiB, what a small heap has
constexpr size_t kEnough = 128;  // in use: more than that

// What the kernel was told of the mapping that holds the address.
enum class Told { kNothing, kHuge, kSmall };
Told ToldOf(const void* address) {
  FILE* file = fopen("/proc/self/smaps", "re");
  if (file == nullptr) return Told::kNothing;
  char line[1000];
  bool here = false;
  Told told = Told::kNothing;
  while (fgets(line, sizeof(line), file) != nullptr) {
    uintptr_t start;
    uintptr_t end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
      const auto at = reinterpret_cast<uintptr_t>(address);
      here = start <= at && at < end;
    } else if (here && strncmp(line, "VmFlags:", 8) == 0) {
      if (strstr(line, " hg") != nullptr) told = Told::kHuge;
      if (strstr(line, " nh") != nullptr) told = Told::kSmall;
    }
  }
  fclose(file);
  return told;
}

size_t ResidentOf(const void* start, size_t bytes) {
  size_t resident = 0;
  EXPECT_TRUE(os::Resident(start, bytes, &resident));
  return resident;
}

class HugePagesTest : public testing::Test {
 protected:
  void SetUp() override { HugePages::Choose(Choice::kAuto); }
  void TearDown() override { HugePages::Choose(Choice::kAuto); }

  Descriptor* Dense(size_t count = 1) {
    return test.arena->Take(count, 1, /*dense=*/true).run;
  }
  Descriptor* Sparse(size_t count = 1) {
    return test.arena->Take(count, 1).run;
  }
  Told ToldOfUnit(size_t unit) const { return ToldOf(test.At(unit)); }

  // Makes the heap one that is not small: kEnough units are in use, of which a
  // page's worth is dense.
  void Begin() {
    Sparse(kEnough - kPage);
    Dense(kPage);
  }
  // The same, and `pages` huge pages, each a run for each unit, all of it
  // written.
  std::vector<Descriptor*> Fill(size_t pages) {
    Begin();
    std::vector<Descriptor*> runs;
    for (size_t i = 0; i < pages * kPage; ++i) {
      runs.push_back(Dense());
      EXPECT_EQ(test.IndexOf(runs.back()), kFirst + i);
      memset(runs.back()->base, 1, kUnit);
    }
    return runs;
  }
  // Returns units of a page but for the first `kept`.
  void ReturnFrom(const std::vector<Descriptor*>& runs, size_t page,
                  size_t kept) {
    for (size_t i = kept; i < kPage; ++i) {
      test.arena->Return(runs[page * kPage + i], /*dirty=*/true);
    }
  }
  bool IsHuge(size_t page) const {
    return test.huge_pages->IsHuge(kFirst + page * kPage);
  }
  size_t ResidentOfPage(size_t page) const {
    return ResidentOf(test.At(kFirst + page * kPage), HugePages::kBytes);
  }

  Growing test;
};

TEST_F(HugePagesTest, SmallHeapsStayOnSmallPages) {
  size_t small = 0;
  while (test.IndexOf(Dense()) == small) ++small;
  EXPECT_EQ(small, kLeast);
  EXPECT_TRUE(test.arena->InUse(kFirst));
  EXPECT_EQ(ToldOfUnit(0), Told::kNothing);
  EXPECT_EQ(ToldOfUnit(kFirst), Told::kHuge);
  EXPECT_EQ(ToldOfUnit(kFirst + kChunk - 1), Told::kHuge);
  EXPECT_EQ(test.arena->huge_units(), kChunk);
}

// A huge page's worth of what is dense comes first.
TEST_F(HugePagesTest, HeapsOfWhatIsSparseStayOnSmallPages) {
  Sparse(kEnough);
  size_t dense = 0;
  while (test.IndexOf(Dense()) == kEnough + dense) ++dense;
  EXPECT_EQ(dense, kPage);
}

TEST_F(HugePagesTest, LargeSparseRunsFollowOneAnotherAndNoHugePages) {
  constexpr size_t kLarge = kFirst + 8;  // below is no room for it
  Begin();
  ASSERT_EQ(test.IndexOf(Dense()), kFirst);
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(test.IndexOf(Sparse(kLarge)), kFirst + kChunk + i * kLarge);
  }
  EXPECT_EQ(ToldOfUnit(kFirst + kChunk), Told::kNothing);
  EXPECT_EQ(ToldOfUnit(kFirst + kChunk + 3 * kLarge - 1), Told::kNothing);
}

TEST_F(HugePagesTest, SparseRunsLeaveHugePagesToOthers) {
  Begin();
  ASSERT_EQ(test.IndexOf(Dense()), kFirst);
  for (size_t i = 0; i < kChunk; ++i) {
    ASSERT_EQ(test.IndexOf(Sparse()), kEnough + i);
  }
  EXPECT_EQ(ToldOfUnit(kEnough), Told::kNothing);
  ASSERT_EQ(test.IndexOf(Dense()), kFirst + 1);
}

// It is resident anyway.
TEST_F(HugePagesTest, SparseRunsTakeWhatIsDirtyInHugePages) {
  std::vector<Descriptor*> runs = Fill(1);
  test.arena->Return(runs[3], /*dirty=*/true);
  test.arena->Return(runs[4], /*dirty=*/false);
  EXPECT_EQ(Sparse(), runs[3]);
  EXPECT_EQ(test.IndexOf(Sparse()), kEnough);
  EXPECT_EQ(Dense(), runs[4]);
}

// It passes by any number of pages at once.
TEST_F(HugePagesTest, ASearchBehindManyHugePagesLooksAtTheFirstOnly) {
  constexpr size_t kPages = 100;
  Begin();
  std::vector<Descriptor*> runs;
  for (size_t i = 0; i < kPages; ++i) runs.push_back(Dense(kPage));
  ASSERT_EQ(test.IndexOf(runs.back()), kFirst + (kPages - 1) * kPage);
  Sparse(kFirst - kEnough);
  for (size_t i = 0; i < kPages; ++i) {
    test.arena->Return(runs[i], /*dirty=*/i == 10 || i == kPages - 1);
  }
  EXPECT_EQ(Sparse(kPage), runs[10]);
  const size_t end = test.arena->end();
  EXPECT_EQ(test.IndexOf(Sparse()), end) << "not in the last page";
  EXPECT_EQ(ToldOfUnit(end), Told::kNothing);
}

TEST_F(HugePagesTest, DenseRunsLeaveSmallPagesToOthers) {
  Descriptor* small = Sparse();
  Fill(1);
  test.arena->Return(small, /*dirty=*/true);
  EXPECT_EQ(test.IndexOf(Dense()), kFirst + kPage);
  EXPECT_EQ(Sparse(), small);
}

TEST_F(HugePagesTest, SparseRunsTakeAnyUnitWhereTheArenaCannotGrow) {
  std::vector<Descriptor*> runs = Fill(1);
  test.arena->Return(runs[4], /*dirty=*/false);
  InChild([&] {
    Refuse(SYS_mmap, ENOMEM);
    EXPECT_EQ(Sparse(), runs[4]);
  });
}

TEST_F(HugePagesTest, WhatIsLargerThanAllElseStaysOnSmallPages) {
  Begin();
  EXPECT_EQ(test.IndexOf(Dense(kEnough + 1)), kEnough);
  EXPECT_EQ(ToldOfUnit(2 * kEnough), Told::kNothing);
  EXPECT_EQ(test.IndexOf(Dense(2 * kEnough)), kFirst);
}

TEST_F(HugePagesTest, SparseRunsBehindTheSmallPagesAreOnSmallOnes) {
  Sparse(kFirst);
  ASSERT_EQ(test.IndexOf(Sparse()), kFirst);
  EXPECT_EQ(ToldOfUnit(kFirst), Told::kNothing);
}

// A heap that cannot grow where huge pages are takes what there is.
TEST_F(HugePagesTest, DenseRunsTakeSmallPagesWhereThereAreNoOthers) {
  Begin();
  test.arena->Return(Sparse(kChunk), /*dirty=*/false);
  InChild([&] {
    Refuse(SYS_mmap, ENOMEM);
    EXPECT_EQ(test.IndexOf(Dense()), kEnough);
    EXPECT_NE(Dense(kChunk - 1), nullptr);
    EXPECT_EQ(Dense(), nullptr);
  });
}

TEST_F(HugePagesTest, ARunThatGrowsBeyondHugePagesGrowsByHugeOnes) {
  Begin();
  Descriptor* run = Dense(kEnough);
  ASSERT_TRUE(test.arena->Extend(run, kEnough + 1));
  EXPECT_EQ(ToldOfUnit(kFirst + kEnough), Told::kHuge);
}

// What grows is used.
TEST_F(HugePagesTest, ARunOfSmallPagesGrowsByHugeOnes) {
  Begin();
  Descriptor* run = Dense(kEnough + 1);
  const size_t end = 3 * kChunk + kEnough;
  ASSERT_EQ(test.IndexOf(run), kEnough);
  ASSERT_TRUE(test.arena->Extend(run, end - kEnough));
  EXPECT_EQ(ToldOfUnit(end - 1), Told::kNothing);
  ASSERT_TRUE(test.arena->Extend(run, end - kEnough + 1));
  EXPECT_EQ(ToldOfUnit(end), Told::kHuge);
}

TEST_F(HugePagesTest, DenseRunsBehindSmallPagesGrowByHugeOnes) {
  Begin();
  Sparse(kFirst + 1 - kEnough);
  ASSERT_EQ(ToldOfUnit(kFirst + kChunk - 1), Told::kNothing);
  ASSERT_EQ(test.arena->end(), kFirst + kChunk);
  EXPECT_EQ(test.IndexOf(Dense(kChunk - 1)), kFirst + kPage);
  EXPECT_EQ(ToldOfUnit(kFirst + kChunk), Told::kHuge);
}

TEST_F(HugePagesTest, DenseRunsPassByWhatIsInTheirPlace) {
  test.Occupy(test.At(kFirst + 1));
  Begin();
  EXPECT_EQ(test.IndexOf(Dense()), kFirst + kChunk);
  EXPECT_EQ(ToldOfUnit(kFirst + kChunk), Told::kHuge);
  EXPECT_TRUE(test.IsUntouched(test.At(kFirst + 1)));
}

TEST_F(HugePagesTest, WhoWantsNoneHasNone) {
  HugePages::Choose(Choice::kNever);
  Begin();
  EXPECT_EQ(test.IndexOf(Dense()), kEnough);
  EXPECT_EQ(ToldOfUnit(0), Told::kSmall);
  EXPECT_EQ(ToldOfUnit(kEnough), Told::kSmall);
  EXPECT_EQ(test.arena->huge_units(), 0u);
  // They do not become huge when they are purged.
  Descriptor* run = Dense(2 * kPage);
  test.arena->Return(run, /*dirty=*/true);
  test.arena->PurgeExcess(0, Effort::kInsist);
  EXPECT_EQ(test.arena->dirty_units(), 0u);
  EXPECT_EQ(ToldOf(run->base), Told::kSmall);
}

TEST_F(HugePagesTest, WhoWantsThemAlwaysHasNothingElse) {
  HugePages::Choose(Choice::kAlways);
  EXPECT_EQ(test.IndexOf(Sparse()), 0u);
  EXPECT_EQ(test.IndexOf(Sparse()), 1u);
  EXPECT_EQ(test.IndexOf(Dense(4 * kChunk)), 2u);
  EXPECT_EQ(ToldOfUnit(0), Told::kHuge);
  EXPECT_EQ(ToldOfUnit(kChunk), Told::kHuge);
  EXPECT_EQ(test.arena->accessible_units(), 5 * kChunk);
}

TEST_F(HugePagesTest, PiecesAreAsTheUserWants) {
  const struct {
    Choice choice;
    Told told;
  } cases[] = {{Choice::kAuto, Told::kNothing},
               {Choice::kNever, Told::kSmall},
               {Choice::kAlways, Told::kHuge}};
  for (const auto& c : cases) {
    HugePages::Choose(c.choice);
    Arena* piece = memory::MakePiece(2 * HugePages::kBytes);
    ASSERT_NE(piece, nullptr);
    EXPECT_EQ(ToldOf(piece->base()), c.told);
    memory::UnmakePiece(piece);
  }
}

TEST_F(HugePagesTest, ThereAreNoneBelowACeiling) {
  InChild([&] {
    ceiling::Set(size_t{1} << 30, 0);
    Begin();
    EXPECT_EQ(test.IndexOf(Dense()), kEnough);
  });
}

// Whole ones first, the emptiest next; the fuller ones stay, as far as a
// sixteenth of what is in use is free there.
TEST_F(HugePagesTest, APurgeTakesTheEmptiestPagesFirst) {
  const std::vector<Descriptor*> runs = Fill(8);
  ReturnFrom(runs, 3, 0);
  ReturnFrom(runs, 7, kPage / 4);
  ReturnFrom(runs, 5, kPage / 4 + 1);
  ReturnFrom(runs, 2, kPage - 2);
  const size_t rest = test.arena->dirty_units() - kPage;
  test.arena->PurgeExcess(rest);
  EXPECT_EQ(test.arena->dirty_units(), rest);
  EXPECT_EQ(ResidentOfPage(3), 0u);
  EXPECT_TRUE(IsHuge(3));
  EXPECT_TRUE(IsHuge(7));

  test.arena->PurgeExcess(rest - 1);
  EXPECT_EQ(test.arena->dirty_units(), rest - kPage * 3 / 4);
  EXPECT_EQ(ResidentOfPage(7), HugePages::kBytes / 4);
  EXPECT_FALSE(IsHuge(7));
  EXPECT_EQ(ToldOf(runs[7 * kPage]->base), Told::kSmall);
  EXPECT_TRUE(IsHuge(5));

  test.arena->PurgeExcess(0);
  EXPECT_FALSE(IsHuge(5)) << "that was more than a sixteenth";
  EXPECT_TRUE(IsHuge(2));
  EXPECT_EQ(test.arena->dirty_units(), 2u);
  EXPECT_EQ(test.arena->spared_units(), 2u);

  test.arena->PurgeExcess(0, Effort::kBreak);
  EXPECT_FALSE(IsHuge(2));
  EXPECT_EQ(test.arena->dirty_units(), 0u);
  EXPECT_EQ(test.arena->spared_units(), 0u);
  EXPECT_EQ(ResidentOfPage(2), (kPage - 2) * kUnit);
}

// They may be resident as a part of the page.
TEST_F(HugePagesTest, APurgeTakesUnitsThatWereNeverUsedToo) {
  Begin();
  Descriptor* run = Dense();
  memset(run->base, 1, kUnit);
  // Whether or not the system has huge pages.
  memset(run->base + kUnit, 0, HugePages::kBytes - kUnit);
  test.arena->PurgeExcess(1, Effort::kInsist);
  EXPECT_EQ(ResidentOfPage(0), HugePages::kBytes) << "nothing is dirty";
  test.arena->PurgeExcess(0, Effort::kBreak);
  EXPECT_EQ(ResidentOfPage(0), HugePages::kBytes) << "likewise";
  test.arena->PurgeExcess(0, Effort::kInsist);
  EXPECT_EQ(ResidentOfPage(0), kUnit);
  EXPECT_FALSE(IsHuge(0));
  EXPECT_EQ(run->base[kUnit - 1], 1);
}

TEST_F(HugePagesTest, ABrokenPageThatIsFreeBecomesHugeAgain) {
  const std::vector<Descriptor*> runs = Fill(1);
  ReturnFrom(runs, 0, 1);
  test.arena->PurgeExcess(0);
  ASSERT_FALSE(IsHuge(0));
  ASSERT_EQ(ResidentOfPage(0), kUnit);
  // A part of it is used and purged, and it stays broken.
  Descriptor* again = Dense(2);
  ASSERT_EQ(again, runs[1]);
  memset(again->base, 1, 2 * kUnit);
  test.arena->Return(again, /*dirty=*/true);
  test.arena->PurgeExcess(0);
  EXPECT_EQ(ResidentOfPage(0), kUnit);
  EXPECT_FALSE(IsHuge(0));

  test.arena->Return(runs[0], /*dirty=*/true);
  test.arena->PurgeExcess(0);
  EXPECT_EQ(ResidentOfPage(0), 0u);
  EXPECT_TRUE(IsHuge(0));
  EXPECT_EQ(ToldOf(runs[0]->base), Told::kHuge);
}

// Nothing is purged there: it is clean.
TEST_F(HugePagesTest, ARunThatTakesABrokenPageMakesItHuge) {
  const std::vector<Descriptor*> runs = Fill(3);
  ReturnFrom(runs, 0, 1);
  ReturnFrom(runs, 1, 1);
  test.arena->PurgeExcess(0);
  test.arena->Return(runs[kPage], /*dirty=*/false);
  ASSERT_FALSE(IsHuge(0));
  ASSERT_FALSE(IsHuge(1));
  EXPECT_EQ(Dense(kPage), runs[kPage]);
  EXPECT_TRUE(IsHuge(1));
  EXPECT_EQ(ToldOf(runs[kPage]->base), Told::kHuge);
  EXPECT_FALSE(IsHuge(0));
}

TEST_F(HugePagesTest, ABrokenPageThatIsFullBecomesHugeAgain) {
  const std::vector<Descriptor*> runs = Fill(1);
  ReturnFrom(runs, 0, 1);
  test.arena->PurgeExcess(0);
  for (size_t i = 1; i < kPage; ++i) {
    EXPECT_FALSE(IsHuge(0)) << i;
    EXPECT_EQ(Dense(), runs[i]);
  }
  EXPECT_TRUE(IsHuge(0));
  EXPECT_EQ(ToldOf(runs[1]->base), Told::kHuge);
}

TEST_F(HugePagesTest, APurgeSparesWhatItIsToldTo) {
  const std::vector<Descriptor*> runs = Fill(3);
  ReturnFrom(runs, 0, 1);
  ReturnFrom(runs, 1, 0);
  ReturnFrom(runs, 2, kPage / 2);
  test.arena->PurgeExcess(0, Effort::kEasy, /*spare=*/2 * kPage);
  EXPECT_EQ(test.arena->dirty_units(), kPage - 1 + kPage / 2);
  EXPECT_EQ(test.arena->spared_units(), kPage - 1 + kPage / 2);
  EXPECT_EQ(ResidentOfPage(1), 0u) << "it is free as a whole";
  test.arena->PurgeExcess(0, Effort::kEasy, /*spare=*/kPage);
  EXPECT_FALSE(IsHuge(0));
  EXPECT_TRUE(IsHuge(2));
  EXPECT_EQ(test.arena->dirty_units(), kPage / 2);
}

#if defined(__x86_64__)

// The count of units that are free and dirty may be too high for ever.
TEST_F(HugePagesTest, NoPageIsBrokenForUnitsThatAreOnlyCounted) {
  const std::vector<Descriptor*> runs = Fill(1);
  ReturnFrom(runs, 0, kPage - 1);
  bool lost = false;
  for (int steps = 1; !lost; ++steps) {
    Descriptor* run = Dense(kChunk);
    const bool stopped = Stepper::Abandon(
        [&] { test.arena->Return(run, /*dirty=*/true); }, steps);
    ASSERT_TRUE(stopped) << "it is not lost anywhere";
    lost = test.arena->dirty_units() == kChunk + 1;
    ASSERT_TRUE(test.arena->InUse(test.IndexOf(run)));
  }
  test.arena->PurgeExcess(1, Effort::kBreak);
  EXPECT_EQ(test.arena->dirty_units(), kChunk + 1);
  EXPECT_TRUE(IsHuge(0));
  test.arena->PurgeExcess(0, Effort::kBreak);
  EXPECT_FALSE(IsHuge(0)) << "one is there";
}

#endif

// Chunks that are mapped again are what they are asked for then.
TEST_F(HugePagesTest, UnmappedChunksAreForgotten) {
  const std::vector<Descriptor*> runs = Fill(4);
  ReturnFrom(runs, 0, 1);
  test.arena->PurgeExcess(0);
  ASSERT_FALSE(IsHuge(0));
  for (Descriptor* run : runs) {
    if (test.arena->InUse(test.IndexOf(run))) {
      test.arena->Return(run, /*dirty=*/false);
    }
  }
  test.arena->UnmapExcess(0);
  EXPECT_EQ(test.arena->accessible_units(), kEnough);
  EXPECT_EQ(test.IndexOf(Dense()), kFirst);
  EXPECT_TRUE(IsHuge(0));
  EXPECT_EQ(ToldOfUnit(kFirst), Told::kHuge);
}

TEST_F(HugePagesTest, NewPagesAreAskedForLikeThoseAroundThem) {
  const std::vector<Descriptor*> runs = Fill(3);
  ReturnFrom(runs, 1, 1);
  test.arena->PurgeExcess(0);
  ASSERT_FALSE(IsHuge(1));
  // From the middle of the first to the middle of the third.
  Descriptor* run = runs[kPage / 2];
  run->units = 2 * kPage;
  ASSERT_TRUE(os::Renew(run->base, run->units * kUnit));
  ASSERT_EQ(ToldOf(run->base), Told::kNothing);
  test.arena->SizePages(run);
  EXPECT_EQ(ToldOfUnit(kFirst + kPage / 2), Told::kHuge);
  EXPECT_EQ(ToldOfUnit(kFirst + kPage - 1), Told::kHuge);
  EXPECT_EQ(ToldOfUnit(kFirst + kPage), Told::kSmall);
  EXPECT_EQ(ToldOfUnit(kFirst + 2 * kPage - 1), Told::kSmall);
  EXPECT_EQ(ToldOfUnit(kFirst + 2 * kPage), Told::kHuge);
  EXPECT_EQ(ToldOfUnit(kFirst + 5 * kPage / 2 - 1), Told::kHuge);
}

// A process may have some 65,530.
TEST_F(HugePagesTest, PagesAreBrokenWithoutFurtherMappingsInTheEnd) {
  constexpr size_t kPages = size_t{3} * 8192;
  static AtomicWord asked[kPages / 64];
  static AtomicWord huge[kPages / 64];
  Fill(1);
  HugePages pages(test.At(kFirst), asked, huge);
  const size_t end = kPages * kPage;
  // Every third: each has two borders.
  for (size_t page = 0; page < kPages; page += 3) Bitmap(huge).Set(page, 1);
  EXPECT_EQ(pages.Count(end), kPages / 3);
  pages.Break(0, end);
  EXPECT_FALSE(pages.IsHuge(0));
  EXPECT_EQ(ToldOfUnit(kFirst), Told::kHuge) << "there are many";
  pages.Break(0, end / 2);
  EXPECT_EQ(ToldOfUnit(kFirst), Told::kSmall);
}

// Nothing depends on it.
TEST_F(HugePagesTest, WhereNothingMayBeAdvisedAllGoesOn) {
  InChild([&] {
    RefuseIf(SYS_madvise, 2, 0, EPERM);
    const std::vector<Descriptor*> runs = Fill(2);
    EXPECT_EQ(ToldOfUnit(kFirst), Told::kNothing);
    EXPECT_EQ(test.arena->huge_units(), 0u);
    ReturnFrom(runs, 0, 1);
    ReturnFrom(runs, 1, 0);
    test.arena->PurgeExcess(0, Effort::kInsist);
    EXPECT_EQ(test.arena->dirty_units(), 2 * kPage - 1);
    EXPECT_EQ(runs[0]->base[0], 1);
    EXPECT_EQ(Dense(), runs[1]);
  });
}

// Each of many threads may have a few of a class.
TEST(HugeBlocksTest, ASecondSlabOfLargerBlocksIsNotTakenToBeUsed) {
  InChild([] {
    HugePages::Choose(HugePages::Choice::kAuto);
    memory::EnableMmap();
    constexpr size_t kSize = 4096;
    const void* second = nullptr;
    for (size_t i = 0; i <= kUnit / kSize; ++i) second = Allocate(kSize);
    EXPECT_LE(ResidentOf(second, kUnit), 2 * kSize);
    const Arena* arena = memory::ArenaAt(1);
    // More of them are needed, the fewer pages a program may use.
    for (size_t i = 0; i < 5000; ++i) Allocate(12289);
    for (size_t i = 0; i < 60 * kUnit / 4608; ++i) Allocate(4608);
    EXPECT_EQ(arena->huge_units(), 0u);
    for (size_t i = 0; i < 60 * kUnit / 4608; ++i) Allocate(4608);
    const size_t huge = arena->huge_units();
    EXPECT_GT(huge, 0u);
    for (size_t i = 0; i < 5000; ++i) Allocate(kSize);
    EXPECT_GT(arena->huge_units(), huge);
  });
}

// Slabs of larger blocks that lie in small pages are not populated.
TEST(HugeBlocksTest, SmallPagesOfLargerBlocksAreThoseThatTheProgramUses) {
  InChild([] {
    HugePages::Choose(HugePages::Choice::kNever);
    memory::EnableMmap();
    constexpr size_t kSize = 12288;
    const void* last = nullptr;
    for (size_t i = 0; i < 80 * (kUnit / kSize); ++i) last = Allocate(kSize);
    EXPECT_LE(ResidentOf(last, kSize), 4096u);
  });
}

// Of blocks: small parts of huge pages are copied, for the rest of the page to
// stay what it is, and whole ones move.
TEST(HugeBlocksTest, BlocksKeepTheirContentsWhenTheyMoveToHugePages) {
  InChild([] {
    HugePages::Choose(HugePages::Choice::kAuto);
    memory::EnableMmap();
    std::vector<char*> fill;
    for (int i = 0; i < 320; ++i) {
      fill.push_back(static_cast<char*>(Allocate(kUnit)));
    }
    size_t bytes = kUnit;
    auto* block = static_cast<char*>(Allocate(bytes));
    memset(block, 1, bytes);
    while (bytes < size_t{16} << 20) {
      while (static_cast<char*>(Allocate(kUnit)) < block) {
      }  // until one is behind it
      block = static_cast<char*>(Reallocate(block, 2 * bytes, "test"));
      ASSERT_NE(block, nullptr);
      for (size_t i = 0; i < bytes; i += kUnit) ASSERT_EQ(block[i], 1) << i;
      memset(block + bytes, 1, bytes);
      bytes *= 2;
    }
    const Arena* arena = memory::ArenaAt(1);
    EXPECT_TRUE(arena->IsHuge(memory::RunAt(block)));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % HugePages::kBytes, 0u);
    EXPECT_EQ(ToldOf(block), Told::kHuge);
    EXPECT_EQ(ToldOf(block + bytes - 1), Told::kHuge);
    Free(block, "test");
    EXPECT_EQ(ToldOf(block + bytes - 1), Told::kHuge)
        << "new pages are like the others";
    EXPECT_TRUE(HeapsAreValid());
  });
}

}  // namespace
}  // namespace aomalloc
