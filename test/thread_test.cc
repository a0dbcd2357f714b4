// Heaps and the threads that hold them: thread exit, handlers inside
// operations, and what is freed by others.
#include "core/thread/thread.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <cstring>
#include <list>
#include <set>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/thread/registry.h"
#include "test/child.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

void FreeBlock(void* ptr) { Free(ptr, "test"); }

Heap* OwnerOf(const void* block) {
  return reinterpret_cast<Heap*>(LoadRelaxed(&memory::RunAt(block)->owner));
}

// In the static heap, which is why it comes before the tests with mmap.
void HeapsAreWholeAndListed(size_t without_memory) {
  const size_t used = memory::UsedBytes();
  std::list<ClaimFrame> frames;
  std::set<Heap*> heaps;
  for (int depth = 0; depth < 350; ++depth) {
    Heap* heap = thread::ClaimHeap(frames.emplace_back());
    ASSERT_NE(heap, nullptr) << depth;
    EXPECT_TRUE(heaps.insert(heap).second) << depth;
    if (heaps.size() == without_memory) {
      EXPECT_EQ(memory::UsedBytes(), used);
    }
    const Run* run = memory::RunAt(heap);
    if (run == nullptr || run->kind != RunKind::kOwn) continue;
    const char* end = run->base + memory::BytesOf(run);
    EXPECT_LE(reinterpret_cast<char*>(heap + 1), end) << depth;
  }
  EXPECT_GT(memory::UsedBytes(), used);
  for (auto heap = heaps.begin(); std::next(heap) != heaps.end(); ++heap) {
    EXPECT_LE(*heap + 1, *std::next(heap));
  }
  for (Heap* heap = thread::Registry(); heap != nullptr;
       heap = thread::Next(heap)) {
    EXPECT_EQ(heap->IsPrepared(), heaps.erase(heap) != 0);
  }
  EXPECT_TRUE(heaps.empty()) << heaps.size() << " are lost";
}

TEST(StaticThreadTest, HeapsAreWholeAndListed) {
  InChild([] { HeapsAreWholeAndListed(64); });
}

TEST(StaticThreadTest, HeapsMayLieInMemoryThatWasUsed) {
  for (const bool mapped : {false, true}) {
    InChild([=] {
      if (mapped) memory::EnableMmap();
      constexpr size_t kBytes = size_t{1536} << 10;  // too much to be kept
      void* block = Allocate(kBytes);
      memset(block, 0xff, kBytes);
      FreeBlock(block);
      HeapsAreWholeAndListed(64);
    });
  }
}

TEST(StaticThreadTest, MappedHeapsTakeNothingOfTheStaticHeap) {
  InChild([] {
    thread::MapHeaps();
    HeapsAreWholeAndListed(64 + 48);
  });
}

class ThreadTest : public testing::Test {
 protected:
  void SetUp() override {
    memory::EnableMmap();
    FreeBlock(Allocate(1));  // This thread has a heap now.
  }
  void TearDown() override { EXPECT_TRUE(HeapsAreValid()); }
};

TEST_F(ThreadTest, ThreadsHaveHeapsOfTheirOwn) {
  void* mine = Allocate(100);
  std::thread([&] {
    void* theirs = Allocate(100);
    EXPECT_EQ(OwnerOf(theirs), thread::current);
    EXPECT_NE(OwnerOf(theirs), OwnerOf(mine));
    EXPECT_NE(LoadRelaxed(&thread::current->holder), 0u);
    FreeBlock(theirs);
    FreeBlock(mine);  // A remote free.
  }).join();
  EXPECT_TRUE(OwnerOf(mine)->HasRemote());
}

TEST_F(ThreadTest, ALaterThreadTakesTheHeapOverWithItsContents) {
  Heap* heap = nullptr;
  std::vector<void*> blocks;
  std::thread([&] {
    for (int i = 0; i < 10; ++i) {
      blocks.push_back(Allocate(2000));
      Fill(blocks.back(), 2000, static_cast<uint8_t>(i));
    }
    heap = thread::current;
    FreeBlock(blocks.back());
  }).join();
  EXPECT_EQ(LoadRelaxed(&heap->holder), 0u);
  EXPECT_EQ(heap->claim.Peek(), 0u);
  EXPECT_TRUE(heap->IsValid());
  std::thread([&] {
    void* block = Allocate(2000);
    EXPECT_EQ(thread::current, heap);
    EXPECT_EQ(block, blocks.back()) << "the slab was not used again";
    for (int i = 0; i < 9; ++i) {
      EXPECT_TRUE(IsFilled(blocks[i], 2000, static_cast<uint8_t>(i)));
    }
    for (void* b : blocks) FreeBlock(b);
  }).join();
  EXPECT_TRUE(heap->IsValid());
}

// Destructors of thread-local data run in no particular order; ours may be
// first.
TEST_F(ThreadTest, DestructorsMayAllocateAndFreeAfterOurs) {
  static int calls;
  static void* block;
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void* value) {
                                 ++calls;
                                 FreeBlock(value);
                                 void* another = Allocate(300);
                                 Fill(another, 300, 1);
                                 EXPECT_TRUE(IsFilled(another, 300, 1));
                                 FreeBlock(another);
                               }),
            0);
  Heap* heap = nullptr;
  for (int i = 0; i < 10; ++i) {
    std::thread([&] {
      block = Allocate(100);
      heap = thread::current;
      pthread_setspecific(key, block);
    }).join();
    EXPECT_EQ(LoadRelaxed(&heap->holder), 0u) << "the heap stays with the dead";
    EXPECT_TRUE(heap->IsValid());
  }
  EXPECT_EQ(calls, 10);
  pthread_key_delete(key);
}

TEST_F(ThreadTest, AnOperationCutShortByThreadExitIsCleanedUp) {
  Heap* heap = nullptr;
  std::thread([&] {
    FreeBlock(Allocate(100));
    heap = thread::current;
    const ClaimFrame frame;
    EXPECT_TRUE(heap->claim.Claim(frame));
    pthread_exit(nullptr);
  }).join();
  EXPECT_EQ(LoadRelaxed(&heap->holder), 0u);
  EXPECT_EQ(heap->claim.Peek(), 0u);
}

// --- Handlers. The test holds the claim on the heap as an operation would.

// What handlers find wrong; GoogleTest is not for use in handlers.
volatile int wrong;
std::vector<void*>* handler_blocks;
Heap* interrupted;

void AllocateInHandler(int) {
  for (size_t size = 0; size < 40000; size += 999) {
    void* block = Allocate(size);
    if (block == nullptr) {
      wrong = wrong + 1;
      continue;
    }
    if (size <= kMaxSmall && OwnerOf(block) == interrupted) wrong = wrong + 1;
    Fill(block, size, 5);
    void* other = AllocateZeroed(size);
    if (other == nullptr || !IsFilled(block, size, 5)) wrong = wrong + 1;
    FreeBlock(other);
    FreeBlock(block);
  }
  for (void* block : *handler_blocks) FreeBlock(block);
}

TEST_F(ThreadTest, AHandlerInsideAnOperationUsesAnotherHeap) {
  std::vector<void*> blocks;
  for (int i = 0; i < 100; ++i) blocks.push_back(Allocate(50));
  handler_blocks = &blocks;
  interrupted = thread::current;
  signal(SIGUSR1, AllocateInHandler);
  {
    const ClaimFrame frame;
    ASSERT_TRUE(interrupted->claim.Claim(frame));
    raise(SIGUSR1);
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(interrupted->claim.Peek(), frame.tag()) << "it was taken over";
    EXPECT_TRUE(interrupted->HasRemote());
    interrupted->claim.Release();
  }
  // What the handler freed is found again, before memory is taken for more.
  const std::set<void*> freed(blocks.begin(), blocks.end());
  std::vector<void*> again;
  size_t reused = 0;
  for (int i = 0; i < 5000; ++i) {
    again.push_back(Allocate(50));
    reused += freed.count(again.back());
  }
  EXPECT_EQ(reused, 100u);
  EXPECT_EQ(thread::current, interrupted);
  for (void* block : again) FreeBlock(block);
  std::vector<void*> none;
  handler_blocks = &none;
}

constexpr int kDepth = 20;
int depth;
Heap* claimed[kDepth];

void NestInHandler(int) {
  const ClaimFrame frame;
  Heap* heap = thread::ClaimHeap(frame);
  claimed[depth++] = heap;
#if defined(__SANITIZE_THREAD__)
  // ThreadSanitizer delivers a signal when the handler before it has returned.
  if (depth < kDepth) NestInHandler(0);
#else
  if (depth < kDepth) raise(SIGUSR1);
#endif
  if (heap->claim.Peek() != frame.tag()) wrong = wrong + 1;
  heap->claim.Release();
}

TEST_F(ThreadTest, HandlersNestToAnyDepth) {
  struct sigaction action {};
  action.sa_handler = NestInHandler;
  action.sa_flags = SA_NODEFER;
  sigaction(SIGUSR1, &action, nullptr);
  for (int round = 0; round < 3; ++round) {
    depth = 0;
    raise(SIGUSR1);
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(std::set<Heap*>(claimed, claimed + kDepth).size(),
              static_cast<size_t>(kDepth))
        << "a heap was claimed twice";
  }
  int heaps = 0;
  for (Heap* h = thread::Registry(); h != nullptr; h = thread::Next(h)) {
    heaps += LoadRelaxed(&h->holder) == thread::ThisThread();
  }
  EXPECT_LE(heaps, kDepth + 1) << "every round took heaps of its own";
}

TEST_F(ThreadTest, ManyThreadsExchangeBlocks) {
  constexpr int kThreads = 8;
  static AtomicWord slots[256];
  InThreads(kThreads, [](int id) {
    Random random(static_cast<uint64_t>(id) + 1);
    for (int i = 0; i < 100000; ++i) {
      const size_t size = 16 + random.SkewedBelow(i % 100 == 0 ? 200000 : 3000);
      auto* block = static_cast<uint64_t*>(Allocate(size));
      *block = size;
      static_cast<char*>(static_cast<void*>(block))[size - 1] = 7;
      AtomicWord* slot = &slots[random.Below(256)];
      AO_t old = LoadRelaxed(slot);
      while (!CasFull(slot, old, reinterpret_cast<AO_t>(block))) {
        old = LoadRelaxed(slot);
      }
      auto* other = reinterpret_cast<uint64_t*>(old);
      if (other == nullptr) continue;
      ASSERT_GE(UsableSize(other, "test"), *other) << "a block was overwritten";
      FreeBlock(other);
    }
    EXPECT_TRUE(HeapsAreValid());
  });
  for (AtomicWord& slot : slots) FreeBlock(reinterpret_cast<void*>(slot));
}

// More than there are in static storage.
TEST_F(ThreadTest, HandlersNestedDeeplyHaveAHeapEach) {
  std::list<ClaimFrame> frames;
  std::set<Heap*> heaps;
  for (int depth = 0; depth < 200; ++depth) {
    Heap* heap = thread::ClaimHeap(frames.emplace_back());
    ASSERT_NE(heap, nullptr) << depth;
    EXPECT_EQ(LoadRelaxed(&heap->holder), thread::ThisThread());
    EXPECT_TRUE(heaps.insert(heap).second) << depth;
  }
  for (Heap* heap : heaps) heap->claim.Release();
}

}  // namespace
}  // namespace aomalloc
