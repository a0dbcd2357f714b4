// The profile, with the allocator below it.
#include "core/profile/profile.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "core/allocator.h"
#include "core/base/os.h"
#include "core/report/statistics.h"
#include "core/samples.h"
#include "test/child.h"
#include "test/heaps.h"
#include "test/refuse.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

using profile::Counts;

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kMean = size_t{64} << 10;

void FreeBlock(void* ptr) { Free(ptr, "test"); }
void* Resize(void* ptr, size_t size) { return Reallocate(ptr, size, "test"); }

Counts operator-(const Counts& a, const Counts& b) {
  return {a.allocated - b.allocated, a.allocated_bytes - b.allocated_bytes,
          a.freed - b.freed, a.freed_bytes - b.freed_bytes};
}
size_t Live(const Counts& counts) {
  return counts.allocated_bytes - counts.freed_bytes;
}

class ProfileTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    memory::EnableMmap();
    // Some blocks are there before.
    FreeBlock(Allocate(100));
    ASSERT_EQ(profile::Start(kMean, nullptr), nullptr);
  }
  void SetUp() override {
    Sample(kMean);
    before_ = profile::Total();
  }
  void TearDown() override {
    EXPECT_TRUE(HeapsAreValid());
    EXPECT_EQ(profile::Missed(), 0u);
  }
  // Of a small mean, has every block sampled that this thread allocates.
  void Sample(size_t mean) {
    StoreRelaxed(&profile::mean_bytes, mean);
    if (mean != 1) return;
    // Until the distances that were drawn already have come to their ends.
    for (int i = 0; i < kNumClasses; ++i) UseUpDistance(ClassSize(i));
    UseUpDistance(2 * kMaxSmall);
  }
  static void UseUpDistance(size_t size) {
    // The first few of a class may be served by another one.
    for (int i = 0; i < 5; ++i) FreeBlock(Allocate(size));
    for (bool sampled = false; !sampled;) {
      void* block = Allocate(size);
      sampled = memory::RunAt(block)->sample != 0;
      FreeBlock(block);
    }
  }
  Counts Since() const { return profile::Total() - before_; }
  void Expect(const Counts& counts) const {
    const Counts since = Since();
    EXPECT_EQ(since.allocated, counts.allocated);
    EXPECT_EQ(since.allocated_bytes, counts.allocated_bytes);
    EXPECT_EQ(since.freed, counts.freed);
    EXPECT_EQ(since.freed_bytes, counts.freed_bytes);
  }

  Counts before_;
};

// What the tools make of samples of one size.
double Estimate(const Counts& counts, size_t size, size_t bytes) {
  return static_cast<double>(bytes) /
         (1 - std::exp(-1.0 * static_cast<double>(size) / kMean)) *
         (counts.allocated > 0 ? 1 : 0);
}

TEST_F(ProfileTest, EstimatesWhatWasAllocatedAndWhatLives) {
  constexpr size_t kBytes = 256 * kMiB;
  for (const size_t size : {size_t{64}, size_t{1024}, kMaxSmall, kMiB / 2}) {
    before_ = profile::Total();
    std::vector<void*> blocks;
    for (size_t i = 0; i < kBytes / size; ++i) {
      void* block = Allocate(size);
      ASSERT_NE(block, nullptr);
      if (i % 4 == 0) {
        blocks.push_back(block);
      } else {
        FreeBlock(block);
      }
    }
    Counts since = Since();
    EXPECT_NEAR(Estimate(since, size, since.allocated_bytes), kBytes,
                kBytes * 0.1)
        << size;
    EXPECT_NEAR(Estimate(since, size, Live(since)), kBytes / 4.0,
                kBytes / 4.0 * 0.2)
        << size;
    for (void* block : blocks) FreeBlock(block);
    since = Since();
    EXPECT_EQ(since.freed, since.allocated);
    EXPECT_EQ(since.freed_bytes, since.allocated_bytes);
  }
}

TEST_F(ProfileTest, BlocksAreAsTheyWouldBeOtherwise) {
  Sample(1);
  for (size_t size = 0; size < 2 * kMaxSmall; size += 1 + size / 3) {
    before_ = profile::Total();
    void* block = Allocate(size);
    const size_t usable =
        size <= kMaxSmall ? ClassSize(ClassOf(size)) : (size + 4095) & ~4095;
    EXPECT_EQ(UsableSize(block, "test"), usable);
    Fill(block, usable, 1);
    const size_t bytes = size <= kMaxSmall ? usable : size;
    Expect({1, bytes, 0, 0});
    FreeBlock(block);
    Expect({1, bytes, 1, bytes});
  }
  void* zeroed = AllocateZeroed(500);
  EXPECT_TRUE(IsZero(zeroed, 500));
  FreeBlock(zeroed);
  for (const size_t alignment : {64u, 4096u, 65536u, 1u << 20}) {
    void* aligned = AllocateAligned(alignment, 100);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(aligned) % alignment, 0u);
    FreeBlock(aligned);
  }
}

// Else realloc might bring the link back to where it counts as one.
TEST_F(ProfileTest, ASampledBlockHoldsNoOldLink) {
  int sampled = 0;
  for (int round = 0; round < 1000 && sampled < 20; ++round) {
    std::vector<void*> blocks(300);
    for (void*& block : blocks) {
      block = Allocate(1000);
      if (memory::RunAt(block)->kind != RunKind::kSpan) continue;
      ++sampled;
      EXPECT_EQ(static_cast<uintptr_t*>(block)[1], 0u);
    }
    for (void* block : blocks) FreeBlock(block);
  }
  EXPECT_GE(sampled, 20);
}

TEST_F(ProfileTest, AnotherThreadMayFree) {
  Sample(1);
  before_ = profile::Total();
  void* block = Allocate(64);
  void* large = Allocate(100000);
  std::thread([=] {
    FreeBlock(block);
    FreeBlock(large);
  }).join();
  const Counts since = Since();
  EXPECT_GE(since.allocated, 2u);
  EXPECT_EQ(since.freed, since.allocated);
}

TEST_F(ProfileTest, ResizingAllocatesAndFrees) {
  Sample(1);
  before_ = profile::Total();
  void* block = Allocate(64);
  Fill(block, 64, 1);
  EXPECT_EQ(Resize(block, 60), block);
  Expect({1, 64, 0, 0});
  block = Resize(block, 1024);
  EXPECT_TRUE(IsFilled(block, 60, 1));
  Expect({2, 64 + 1024, 1, 64});
  // Its span has room for more than it may use.
  EXPECT_EQ(Resize(block, 40000), block);
  EXPECT_TRUE(IsFilled(block, 60, 1));
  size_t all = 64 + 1024 + 40000;
  Expect({3, all, 2, all - 40000});
  void* larger = Resize(block, 100000);
  all += 100000;
  Expect({4, all, 3, all - 100000});
  void* next = Allocate(100000);
  all += 100000;
  // In its way, perhaps; then it moves.
  larger = Resize(larger, 1000000);
  all += 1000000;
  Expect({6, all, 4, all - 1100000});
  larger = Resize(larger, 2000000);
  all += 2000000;
  Expect({7, all, 5, all - 2100000});
  larger = Resize(larger, 1500000);
  all += 1500000;
  Expect({8, all, 6, all - 1600000});
  EXPECT_TRUE(IsFilled(larger, 60, 1));
  FreeBlock(larger);
  FreeBlock(next);
  Expect({8, all, 8, all});
}

TEST_F(ProfileTest, ASampleLostDoesNotHinder) {
  InChild([this] {
    Sample(1);
    while (profile::TakeMemory(16) != nullptr) {
    }
    EXPECT_EQ(profile::TakeMemory(1), nullptr);
    before_ = profile::Total();
    void* block = Allocate(64);
    EXPECT_GT(profile::Missed(), 0u);
    FreeBlock(block);
    FreeBlock(Allocate(100000));
    // No memory for when to take samples, either.
    std::thread([] {
      FreeBlock(Allocate(64));
      FreeBlock(Allocate(100000));
    }).join();
    Expect({0, 0, 0, 0});
    EXPECT_TRUE(HeapsAreValid());
  });
}

TEST_F(ProfileTest, AskedForMoreMemoryThanThereIs) {
  InChild([this] {
    Sample(1);
    memory::SetLimit(Count().used + kMiB);
    std::vector<void*> blocks;
    while (void* block = Allocate(1000)) blocks.push_back(block);
    EXPECT_GT(blocks.size(), 16u);
    while (void* block = Allocate(16)) blocks.push_back(block);
    EXPECT_EQ(Allocate(kMiB), nullptr);
    for (void* block : blocks) FreeBlock(block);
    EXPECT_TRUE(HeapsAreValid());
    const Counts since = Since();
    EXPECT_EQ(since.freed, since.allocated);
  });
}

// A sampled block keeps the size of its class, so its run keeps its units, also
// if the block is made smaller where it is because there is no memory.
TEST_F(ProfileTest, WithoutMemoryASampledBlockKeepsItsRoom) {
  InChild([this] {
    constexpr size_t kSize = 20000;
    Sample(1);
    Refuse(SYS_mmap, ENOMEM);
    void* sampled = nullptr;
    while (void* block = Allocate(kSize)) {
      if (memory::ArenaOf(block) == memory::ArenaAt(0)) sampled = block;
    }
    ASSERT_NE(sampled, nullptr);
    const ::aomalloc::Run* run = memory::RunAt(sampled);
    ASSERT_NE(run->sample, 0u);
    while (Allocate(100) != nullptr) {
    }
    EXPECT_EQ(Resize(sampled, 100), sampled);
    EXPECT_LE(UsableSize(sampled, "test"), memory::BytesOf(run));
    EXPECT_EQ(Resize(sampled, kSize), sampled);
  });
}

TEST_F(ProfileTest, BlocksOfRationsAreFree) {
  FreeBlock(Allocate(48));
  Trim();
  const Statistics before = Count();
  void* block = Allocate(48);
  Statistics now = Count();
  EXPECT_EQ(now.live(), before.live() + 48);
  EXPECT_GT(now.away, before.away);
  FreeBlock(block);
  Trim();
  now = Count();
  EXPECT_EQ(now.live(), before.live());
  EXPECT_EQ(now.slabs, before.slabs);
}

TEST_F(ProfileTest, RationsOfOtherHeapsBlocks) {
  constexpr size_t kCount = 3000;
  std::vector<void*> blocks(kCount);
  for (int round = 0; round < 4; ++round) {
    // Now this thread keeps some that it frees, as it needs them.
    std::thread([&] {
      for (void*& block : blocks) block = Allocate(1024);
    }).join();
    std::vector<void*> own;
    for (void* block : blocks) {
      own.push_back(Allocate(1024));
      FreeBlock(block);
    }
    for (void* block : own) FreeBlock(block);
    ASSERT_TRUE(HeapsAreValid());
  }
  Trim();
  const Counts since = Since();
  EXPECT_EQ(since.freed, since.allocated);
}

// What is left of such a ration goes home with the rest.
TEST_F(ProfileTest, ARationOfOtherHeapsBlocksEnds) {
  Sample(size_t{1} << 40);
  auto* heap = NewHeap();
  auto* owner = NewHeap();
  ASSERT_NE(heap->sampler(), nullptr);
  for (int i = 0; i < 500; ++i) TakeFrom(heap, 1024);  // it needs such blocks
  for (int i = 0; i < 8; ++i) {
    Block* block = TakeFrom(owner, 1024);
    heap->FreeForeign(owner, memory::RunAt(block), block);
  }
  const auto is_foreign = [&](Block* block) {
    return LoadRelaxed(&memory::RunAt(block)->owner) ==
           reinterpret_cast<AO_t>(owner);
  };
  for (int i = 0; i < 500 && !is_foreign(TakeFrom(heap, 1024)); ++i) {
  }
  EXPECT_GT(heap->RationBytes(), 0u);
  heap->SendForeign();
  EXPECT_EQ(heap->RationBytes(), 0u);
  EXPECT_TRUE(owner->HasRemote());
}

[[gnu::noinline]] void* AllocateHere(size_t size) {
  void* block = Allocate(size);
  // Not a tail call.
  __asm__ volatile("" : : "r"(block) : "memory");
  return block;
}

TEST_F(ProfileTest, IsWrittenAsTheToolsReadIt) {
  Sample(1);
  void* block = AllocateHere(512);
  FreeBlock(AllocateHere(512));
  const std::string path = testing::TempDir() + "profile";
  // Nothing is left of what was there.
  for (int i = 0; i < 2; ++i) {
    const int descriptor = os::OpenToReplace(path.c_str());
    ASSERT_GE(descriptor, 0);
    {
      Output out(descriptor);
      profile::Write(&out);
    }
    os::Close(descriptor);
  }
  FILE* file = fopen(path.c_str(), "re");
  std::string text;
  for (int c; (c = fgetc(file)) != EOF;) text += static_cast<char>(c);
  fclose(file);
  FreeBlock(block);

  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);
  const Counts total = profile::Total();
  EXPECT_EQ(line, "heap profile: " +
                      std::to_string(total.allocated - total.freed + 1) + ": " +
                      std::to_string(Live(total) + 512) + " [" +
                      std::to_string(total.allocated) + ": " +
                      std::to_string(total.allocated_bytes) + "] @ heap_v2/1");
  // One stack for the two calls of the test each, both in AllocateHere.
  int stacks = 0;
  while (std::getline(lines, line) && !line.empty()) {
    unsigned long long live, live_bytes, all, all_bytes;
    int end = 0;
    ASSERT_EQ(sscanf(line.c_str(), "%llu: %llu [%llu: %llu] @ 0x%n", &live,
                     &live_bytes, &all, &all_bytes, &end),
              4)
        << line;
    ASSERT_GT(end, 0) << line;
    if (all_bytes == 512 && live_bytes == 512 * live) ++stacks;
  }
  EXPECT_GE(stacks, 2);
  std::getline(lines, line);
  EXPECT_EQ(line, "MAPPED_LIBRARIES:");
  EXPECT_NE(text.find("profile_test\n"), std::string::npos);
}

TEST_F(ProfileTest, OwnCallsAreLeftOut) {
  // In a test all is in one object: one address stays.
  InChild([] {
    ASSERT_EQ(profile::Start(1, reinterpret_cast<void*>(&profile::Total)),
              nullptr);
    AllocateHere(512);
    EXPECT_GT(profile::Total().allocated, 0u);
  });
}

TEST_F(ProfileTest, CannotBeHadWithoutMemory) {
  InChild([] {
    const rlimit limit = {AddressSpace() + kMiB, AddressSpace() + kMiB};
    setrlimit(RLIMIT_AS, &limit);
    EXPECT_STREQ(profile::Start(1, nullptr), "there is no memory for it");
  });
}

}  // namespace
}  // namespace aomalloc
