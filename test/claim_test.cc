// Claims, also where a signal at every instruction meets them.
#include "core/heap/claim.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <new>
#include <set>

#include "core/allocator.h"
#include "core/arena/memory.h"
#include "core/atomic_ops_malloc.h"
#include "core/heap/heap.h"
#include "core/thread/thread.h"
#include "test/child.h"
#include "test/step.h"

namespace aomalloc {
namespace {

TEST(ClaimTest, IsHeldByOne) {
  ClaimWord claim;
  const ClaimFrame outer, inner;
  EXPECT_EQ(claim.Peek(), 0u);
  EXPECT_TRUE(claim.Claim(outer));
  EXPECT_EQ(claim.Peek(), outer.tag());
  EXPECT_FALSE(claim.Claim(inner));
  EXPECT_FALSE(claim.Claim(outer));
  EXPECT_EQ(claim.Peek(), outer.tag());
  claim.Release();
  EXPECT_EQ(claim.Peek(), 0u);
  EXPECT_TRUE(claim.Claim(inner));
}

TEST(ClaimTest, IsTakenOverFromTheOneThatWasSeen) {
  ClaimWord claim;
  const ClaimFrame gone, successor, other;
  ASSERT_TRUE(claim.Claim(gone));
  EXPECT_FALSE(claim.TakeOver(other.tag(), successor));
  EXPECT_EQ(claim.Peek(), gone.tag());
  EXPECT_TRUE(claim.TakeOver(gone.tag(), successor));
  EXPECT_EQ(claim.Peek(), successor.tag());
  EXPECT_FALSE(claim.TakeOver(gone.tag(), other));
}

// A new claim by a frame in the same place has the same tag.
TEST(ClaimTest, IsNotTakenOverFromALaterOneThatLooksTheSame) {
  ClaimWord claim;
  const ClaimFrame frame, successor, other;
  ASSERT_TRUE(claim.Claim(frame));
  const AO_t seen = claim.Mark(claim.Peek());
  EXPECT_EQ(ClaimFrame::Unmarked(seen), frame.tag());
  EXPECT_FALSE(claim.Claim(successor));
  claim.Release();
  ASSERT_TRUE(claim.Claim(frame));
  EXPECT_FALSE(claim.TakeOver(seen, successor));
  EXPECT_EQ(claim.Mark(seen), 0u);
  const AO_t later = claim.Mark(claim.Peek());
  EXPECT_NE(later, seen);
  EXPECT_FALSE(claim.TakeOver(seen, successor));
  EXPECT_TRUE(claim.TakeOver(later, successor));
  EXPECT_EQ(claim.Peek(), successor.tag());
}

TEST(ClaimTest, TagsAreToldFromEverythingElse) {
  const ClaimFrame a, b;
  EXPECT_TRUE(ClaimFrame::IsTag(a.tag()));
  EXPECT_NE(a.tag(), b.tag());
  EXPECT_FALSE(ClaimFrame::IsTag(0));
  EXPECT_FALSE(ClaimFrame::IsTag(a.tag() + b.tag()));
  EXPECT_FALSE(ClaimFrame::IsTag(~a.tag() + 1))
      << "what a late subtraction leaves";
  // A frame holds its own tag, where the tag says.
  EXPECT_EQ(*ClaimFrame::Address(a.tag()), a.tag());
}

TEST(ClaimTest, AnAbandonedClaimIsTakenOver) {
  memory::EnableMmap();
  const ClaimFrame first;
  Heap* heap = thread::ClaimHeap(first);
  ASSERT_NE(heap, nullptr);
  heap->claim.Release();
  // Claimed by a frame that is then overwritten, as a dead one will be.
  alignas(ClaimFrame) unsigned char place[sizeof(ClaimFrame)];
  auto* frame = new (place) ClaimFrame;
  ASSERT_TRUE(heap->claim.Claim(*frame));
  {
    const ClaimFrame nested;
    Heap* another = thread::ClaimHeap(nested);
    EXPECT_NE(another, heap) << "taken from one that is only interrupted";
    another->claim.Release();
  }
  *reinterpret_cast<volatile AO_t*>(place) = 0;
  {
    const ClaimFrame successor;
    EXPECT_EQ(thread::ClaimHeap(successor), heap);
    EXPECT_EQ(heap->claim.Peek(), successor.tag());
    heap->claim.Release();
  }
}

// A claim that was taken over without a repair is given up as an abandoned one,
// whatever is in its frame.
TEST(ClaimTest, AClaimIsAbandonedOnPurpose) {
  memory::EnableMmap();
  const ClaimFrame frame;
  Heap* heap = thread::ClaimHeap(frame);
  heap->claim.Abandon(ClaimFrame());
  EXPECT_EQ(heap->claim.Peek(), frame.tag()) << "it is not that one's";
  heap->claim.Abandon(frame);
  const ClaimFrame successor;
  EXPECT_FALSE(heap->claim.Claim(successor));
  EXPECT_EQ(thread::ClaimHeap(successor), heap);
  EXPECT_EQ(heap->claim.Peek(), successor.tag());
  heap->claim.Release();
}

// A frame that nobody overwrites looks alive. After a few looks the thread
// works on with another heap, and with the first one again when the frame is
// gone.
TEST(ClaimTest, AnAbandonedClaimSlowsDownForAWhileOnly) {
  InChild([] {
    void* block = Allocate(100);
    Heap* heap = thread::current;
    static const ClaimFrame gone;
    ASSERT_TRUE(heap->claim.Claim(gone));
    AO_free(block);
    EXPECT_TRUE(heap->HasRemote());
    Free(Allocate(40000), "test");
    const AO_t before = LoadRelaxed(&thread::nested_entries);
    for (int i = 0; i < 10000; ++i) Free(Allocate(100), "test");
    EXPECT_LT(LoadRelaxed(&thread::nested_entries) - before, 20u);
    Heap* other = thread::current;
    EXPECT_NE(other, heap);
    // The new one may come to rest as well.
    static const ClaimFrame gone_too;
    ASSERT_TRUE(other->claim.Claim(gone_too));
    for (int i = 0; i < 100; ++i) Free(Allocate(100), "test");
    EXPECT_NE(thread::current, heap);
    EXPECT_NE(thread::current, other);
    heap->claim.Release();
    other->claim.Release();
    // Whichever rests comes back with a slow path.
    for (int i = 0; i < 1000; ++i) Allocate(1000);
    EXPECT_EQ(thread::current, other);
    // The first one is found when operations are nested.
    const ClaimFrame frames[3];
    std::set<Heap*> claimed;
    for (const ClaimFrame& frame : frames) {
      claimed.insert(thread::ClaimHeap(frame));
    }
    EXPECT_EQ(claimed.count(heap), 1u) << "it is lost";
    for (Heap* each : claimed) each->claim.Release();
    EXPECT_TRUE(HeapsAreValid());
  });
}

// The stack of the claimant that is gone lay beside ours, and was unmapped.
char* gone_stack;
ucontext_t outside, inside;

void ClaimBesideWhatIsGone() {
  const ClaimFrame frame;
  munmap(gone_stack, 4096);
  Heap* heap = thread::ClaimHeap(frame);
  EXPECT_NE(heap, nullptr);
  heap->claim.Release();
  swapcontext(&inside, &outside);
}

TEST(ClaimTest, NothingIsReadThatMayBeUnmapped) {
  for (const bool mmap_enabled : {false, true}) {
    InChild([=] {
      if (mmap_enabled) memory::EnableMmap();
      const ClaimFrame first;
      Heap* heap = thread::ClaimHeap(first);
      heap->claim.Release();
      constexpr size_t kStack = 65536;
      auto* stack = static_cast<char*>(
          mmap(nullptr, kStack + 4096, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      gone_stack = stack + kStack;
      ASSERT_TRUE(heap->claim.Claim(*new (gone_stack) ClaimFrame));
      getcontext(&inside);
      inside.uc_stack.ss_sp = stack;
      inside.uc_stack.ss_size = kStack;
      makecontext(&inside, ClaimBesideWhatIsGone, 0);
      swapcontext(&outside, &inside);
    });
  }
}

#if defined(__x86_64__)

// Another context claims after `claim_at` instructions of Claim and releases
// after `release_at`, if it got it: as a handler does that switches to another
// stack and back.
void Collide(int claim_at, int release_at) {
  ClaimWord claim;
  const ClaimFrame mine, theirs;
  bool got = false;
  bool they_got = false;
  bool they_released = false;
  AO_t seen_by_them = 0;
  Stepper::Run([&] { got = claim.Claim(mine); },
               [&](int n) {
                 if (n == claim_at) they_got = claim.Claim(theirs);
                 if (n == release_at && they_got) {
                   seen_by_them = claim.Peek();
                   claim.Release();
                   they_released = true;
                 }
               });
  SCOPED_TRACE(testing::Message() << claim_at << " to " << release_at);
  if (they_got && !they_released) {
    EXPECT_FALSE(got) << "both hold it";
    EXPECT_EQ(claim.Peek(), theirs.tag());
    claim.Release();
    EXPECT_EQ(claim.Peek(), 0u);
    return;
  }
  if (they_released) {
    EXPECT_NE(seen_by_them, 0u) << "free while it was held";
  }
  if (got) {
    EXPECT_EQ(claim.Peek(), mine.tag());
    return;
  }
  // Either it is free, or it rests; it must not look like somebody's.
  EXPECT_TRUE(claim.Peek() == 0 || !ClaimFrame::IsTag(claim.Peek()));
}

TEST(ClaimStepTest, TwoContextsNeverHoldItAtOnce) {
  int steps = 0;
  {
    ClaimWord claim;
    const ClaimFrame frame;
    Stepper::Run([&] { claim.Claim(frame); }, [&](int n) { steps = n; });
  }
  ASSERT_GT(steps, 3);
  for (int claim_at = 1; claim_at <= steps + 3; ++claim_at) {
    for (int release_at = claim_at; release_at <= steps + 4;
         release_at += Stepper::kStride) {
      Collide(claim_at, release_at);
    }
    Collide(claim_at, /*release_at=*/-1);  // keeps it
  }
}

#endif

}  // namespace
}  // namespace aomalloc
