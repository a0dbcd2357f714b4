// Heaps by themselves: their slabs come and go, remote frees come home, and
// what an abandoned operation leaves is put right.
#include "core/heap/heap.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "core/arena/memory.h"
#include "core/heap/misuse.h"
#include "test/heaps.h"
#include "test/step.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

using Descriptor = Run;  // testing::Test has a Run of its own

class HeapTest : public testing::Test {
 protected:
  void SetUp() override {
    memory::EnableMmap();
    // Heaps never die; each test has a new one.
    heap_ = NewHeap();
  }

  Block* Take(size_t size) { return TakeFrom(heap_, size); }
  void Give(Block* block) { heap_->Free(memory::RunAt(block), block); }
  void GiveRemotely(Block* block) {
    heap_->Remote(block, slab::BlockSize(memory::RunAt(block)));
  }

  std::vector<Descriptor*> Slabs() const { return SlabsOf(heap_); }

  bool AllIsValid() const {
    for (const Descriptor* slab : Slabs()) {
      if (!slab::IsValid(slab)) return false;
    }
    return heap_->IsValid();
  }

  Heap* heap_ = nullptr;
};

TEST_F(HeapTest, BeginsWithoutSlabs) {
  EXPECT_TRUE(heap_->IsValid());
  EXPECT_TRUE(Slabs().empty());
  EXPECT_EQ(heap_->Pop(0), nullptr);
  EXPECT_EQ(heap_->Refill(0), nullptr);
  EXPECT_FALSE(heap_->HasRemote());
}

TEST_F(HeapTest, ASlabIsRetiredWhenFullListedWhenWorthItAndGivenBackWhenEmpty) {
  Block* first = Take(1000);
  Descriptor* slab = memory::RunAt(first);
  std::vector<Block*> blocks{first};
  while (blocks.size() < slab->capacity) blocks.push_back(Take(1000));
  for (Block* block : blocks) EXPECT_EQ(memory::RunAt(block), slab);
  EXPECT_TRUE(slab->listed);
  Block* next = Take(1000);
  EXPECT_NE(memory::RunAt(next), slab);
  EXPECT_FALSE(slab->listed) << "full";
  EXPECT_TRUE(AllIsValid());
  size_t freed = 0;
  while (!slab->listed && freed < blocks.size()) Give(blocks[freed++]);
  EXPECT_LE(freed, blocks.size() / 4) << "free blocks lie idle for long";
  EXPECT_TRUE(AllIsValid());
  while (freed < blocks.size()) Give(blocks[freed++]);
  EXPECT_EQ(slab->kind, RunKind::kFree) << "empty, and not malloc's own";
  EXPECT_EQ(Slabs().size(), 1u);
  Give(next);
  EXPECT_EQ(Slabs().size(), 1u) << "malloc's own stays at hand";
  heap_->Trim();
  EXPECT_TRUE(Slabs().empty());
  EXPECT_TRUE(heap_->IsValid());
}

TEST_F(HeapTest, TheShortWayToTheNextSlabIsForAFullHeadOnly) {
  const SizeClass c = ClassOf(1000);
  EXPECT_EQ(heap_->PopFromNext(c), nullptr) << "no slab";
  std::vector<Block*> blocks{Take(1000)};
  Descriptor* first = memory::RunAt(blocks[0]);
  while (blocks.size() < size_t{2} * first->capacity) {
    blocks.push_back(Take(1000));
  }
  Descriptor* second = memory::RunAt(blocks.back());
  EXPECT_EQ(heap_->PopFromNext(c), nullptr) << "no next slab";
  for (size_t i = 0; !first->listed; ++i) Give(blocks[i]);
  Give(blocks.back());
  EXPECT_EQ(heap_->PopFromNext(c), nullptr) << "the head is not full";
  EXPECT_EQ(Take(1000), blocks.back());
  GiveRemotely(blocks.back());
  EXPECT_EQ(heap_->PopFromNext(c), nullptr) << "something waits";
  heap_->Drain();
  EXPECT_EQ(Take(1000), blocks.back());
  EXPECT_TRUE(second->listed);
  Block* block = heap_->PopFromNext(c);
  ASSERT_NE(block, nullptr);
  EXPECT_EQ(memory::RunAt(block), first);
  EXPECT_FALSE(second->listed) << "full";
  EXPECT_TRUE(AllIsValid());
  Give(block);
  EXPECT_EQ(heap_->Pop(c), block) << "malloc goes on with that slab";
  EXPECT_TRUE(AllIsValid());
}

// A slab that was emptied and kept serves its class again without being carved,
// if its blocks lie in order on its list, and surely all of them do.
TEST_F(HeapTest, AKeptSlabIsCarvedAgainOnlyWhereItMustBe) {
  enum class Case {
    kInOrder,
    kAtRandom,
    kWrittenTo,
    kAbandoned,
    kDamaged,
    kOtherClass
  };
  for (const Case c : {Case::kInOrder, Case::kAtRandom, Case::kWrittenTo,
                       Case::kAbandoned, Case::kDamaged, Case::kOtherClass}) {
    SCOPED_TRACE(static_cast<int>(c));
    heap_ = NewHeap();
    Block* first = Take(1000);
    Descriptor* slab = memory::RunAt(first);
    std::vector<Block*> blocks{first};
    while (blocks.size() < slab->capacity) blocks.push_back(Take(1000));
    Descriptor* head = memory::RunAt(Take(1000));
    if (c == Case::kAbandoned) heap_->Repair();
    if (c == Case::kDamaged) {
      SetOnMisuse(OnMisuse::kIgnore);
      Block* written_to = Take(500);
      Block* last_500 = Take(500);
      Give(written_to);
      reinterpret_cast<uintptr_t*>(written_to)[1] = 0;
      Take(500);
      Give(last_500);
      SetOnMisuse(OnMisuse::kAbort);
    }
    if (c == Case::kAtRandom) std::swap(blocks.front(), blocks.back());
    Block* last = blocks.back();
    for (Block* block : blocks) Give(block);
    ASSERT_EQ(slab->kind, RunKind::kFree);
    if (c == Case::kWrittenTo) reinterpret_cast<uintptr_t*>(last)[1] = 0;
    const size_t size = c == Case::kOtherClass ? 500 : 1000;
    Block* block = Take(size);
    while (memory::RunAt(block) == head) block = Take(size);
    ASSERT_EQ(memory::RunAt(block), slab);
    const bool stays = c == Case::kInOrder;
    EXPECT_EQ(block, stays ? last : reinterpret_cast<Block*>(slab->base));
    EXPECT_EQ(slab->carved == slab->capacity, stays);
    std::set<Block*> taken{block};
    while (taken.size() < slab->capacity) {
      block = Take(size);
      ASSERT_EQ(memory::RunAt(block), slab);
      ASSERT_TRUE(taken.insert(block).second) << "handed out twice";
    }
    EXPECT_TRUE(AllIsValid());
  }
}

TEST_F(HeapTest, RemoteFreesComeHomeBeforeMemoryIsTaken) {
  std::set<Block*> blocks;
  for (int i = 0; i < 1000; ++i) blocks.insert(Take(500));
  for (Block* block : blocks) GiveRemotely(block);
  EXPECT_TRUE(heap_->HasRemote());
  const size_t slabs = Slabs().size();
  size_t reused = 0;
  std::vector<Block*> again;
  while (again.size() < 1100) {
    again.push_back(Take(500));
    reused += blocks.count(again.back());
  }
  EXPECT_EQ(reused, 1000u);
  EXPECT_FALSE(heap_->HasRemote());
  EXPECT_LE(Slabs().size(), slabs + 1);
  for (Block* block : again) GiveRemotely(block);
  heap_->Drain();
  heap_->Trim();
  EXPECT_TRUE(Slabs().empty()) << "drained blocks did not all arrive";
}

TEST_F(HeapTest, IsValidAfterEveryOperation) {
  Random random(3);
  std::vector<std::pair<Block*, size_t>> held;
  for (int step = 0; step < 20000; ++step) {
    const size_t choice = random.Below(100);
    if (choice < (step / 4000 % 2 == 0 ? 60u : 35u)) {
      const size_t size = 16 + random.SkewedBelow(kMaxSmall - 16);
      Block* block = Take(size);
      ASSERT_NE(block, nullptr);
      Fill(block, size, static_cast<uint8_t>(size));
      held.emplace_back(block, size);
    } else if (choice < 98 && !held.empty()) {
      const size_t index = random.Below(held.size());
      auto [block, size] = held[index];
      ASSERT_TRUE(IsFilled(block, size, static_cast<uint8_t>(size)));
      if (choice % 3 == 0) {
        GiveRemotely(block);
      } else {
        Give(block);
      }
      held[index] = held.back();
      held.pop_back();
    } else if (choice == 98) {
      heap_->Drain();
    } else if (choice == 99) {
      random.Below(2) == 0 ? heap_->Trim() : heap_->Repair();
    }
    ASSERT_TRUE(heap_->IsValid()) << step;
    if (step % 500 == 0) {
      ASSERT_TRUE(AllIsValid());
    }
  }
  for (auto [block, size] : held) Give(block);
  heap_->Drain();
  heap_->Trim();
  EXPECT_TRUE(Slabs().empty());
}

TEST_F(HeapTest, DamageIsSeen) {
  std::vector<Block*> blocks{Take(1000)};
  Descriptor* listed = memory::RunAt(blocks[0]);
  while (memory::RunAt(blocks.back()) == listed) blocks.push_back(Take(1000));
  Descriptor* head = memory::RunAt(blocks.back());
  for (size_t i = 0; !listed->listed; ++i) Give(blocks[i]);
  ASSERT_TRUE(heap_->IsValid());
  listed->prev = nullptr;
  EXPECT_FALSE(heap_->IsValid());
  listed->prev = head;
  for (Descriptor* slab : {head, listed}) {
    slab->listed = false;
    EXPECT_FALSE(heap_->IsValid());
    slab->listed = true;
    slab->beyond += 2;
    slab->list.used -= 2;
    EXPECT_FALSE(heap_->IsValid());
    slab->beyond -= 2;
    slab->list.used += 2;
    EXPECT_TRUE(heap_->IsValid());
  }
}

#if defined(__x86_64__)

// Each operation is abandoned after 1, 2, 3, ... instructions. What others hold
// must stay theirs, and after all of it is freed at most what the operation
// had in hand is missing.
class HeapStepTest : public HeapTest {
 protected:
  static constexpr size_t kSize = 16000;  // four blocks a slab

  void TakeSome() {
    held_.clear();
    for (int i = 0; i < 10; ++i) Hold(Take(kSize), static_cast<uint8_t>(i));
  }
  void Hold(Block* block, uint8_t seed) {
    Fill(block, kSize, seed);
    held_.emplace_back(block, seed);
  }

  // `block`: freed by the operation, or about to be; null if none.
  void CheckAfter(int limit, Block* block) {
    SCOPED_TRACE(testing::Message() << "after " << limit << " instructions");
    heap_->Repair();
    ASSERT_TRUE(AllIsValid());
    std::set<Block*> taken;
    for (int i = 0; i < 16; ++i) {
      Block* other = Take(kSize);
      ASSERT_TRUE(taken.insert(other).second) << "handed out twice";
      memset(static_cast<void*>(other), 0xEE, kSize);
    }
    for (auto [held, seed] : held_) {
      if (held == block) continue;
      ASSERT_EQ(taken.count(held), 0u) << "taken from its holder";
      ASSERT_TRUE(IsFilled(held, kSize, seed));
      Give(held);
    }
    for (Block* other : taken) Give(other);
    heap_->Drain();
    heap_->Trim();
    ASSERT_TRUE(AllIsValid());
    ASSERT_LE(Slabs().size(), 1u) << "more than one block was lost";
  }

  std::vector<std::pair<Block*, uint8_t>> held_;
};

TEST_F(HeapStepTest, AllocationAbandonedAnywhere) {
  // With a block left to carve, and with every slab full.
  for (int start : {0, 2}) {
    int limit = 0;
    bool abandoned = true;
    while (abandoned) {
      heap_ = NewHeap();
      TakeSome();
      for (int i = 0; i < start; ++i) Hold(Take(kSize), 77);
      Block* block = nullptr;
      abandoned = Stepper::Abandon([&] { block = Take(kSize); },
                                   limit += 5 * Stepper::kStride);
      if (!abandoned) Hold(block, 99);
      CheckAfter(limit, nullptr);
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(limit, 10);
  }
}

TEST_F(HeapStepTest, FreeAbandonedAnywhere) {
  // Of a full slab, of one with room, of the last block of one.
  for (size_t freed_before : {size_t{0}, size_t{1}, size_t{3}}) {
    int limit = 0;
    bool abandoned = true;
    while (abandoned) {
      heap_ = NewHeap();
      TakeSome();
      for (size_t i = 0; i < freed_before; ++i) {
        Give(held_.front().first);
        held_.erase(held_.begin());
      }
      Block* block = held_.front().first;
      abandoned =
          Stepper::Abandon([&] { Give(block); }, limit += Stepper::kStride);
      CheckAfter(limit, block);
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(limit, 5);
  }
}

TEST_F(HeapStepTest, DrainAbandonedAnywhereLosesAtMostABlock) {
  int limit = 0;
  bool abandoned = true;
  while (abandoned) {
    heap_ = NewHeap();
    TakeSome();
    while (held_.size() > 4) {  // a slab becomes empty, one is left
      GiveRemotely(held_.back().first);
      held_.pop_back();
    }
    abandoned = Stepper::Abandon([&] { heap_->Drain(); },
                                 limit += 3 * Stepper::kStride);
    CheckAfter(limit, nullptr);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(limit, 50);
}

#endif

}  // namespace
}  // namespace aomalloc
