// The inbox: threads push batches of blocks, the owner takes them and others
// raid it, as when memory has run out.
#include "core/heap/inbox.h"

#include "core/heap/heap.h"
#include "test/weak/cases.h"

namespace aomalloc::weak {
namespace {

// Blocks of one slab of the static heap.
class InboxCase : public Case {
 public:
  using Case::Case;

  void SetUp() override {
    heap_.Prepare();
    const SizeClass size_class = ClassOf(kSize);
    for (Block*& block : blocks_) {
      block = heap_.Pop(size_class);
      if (block == nullptr) block = heap_.Grow(size_class);
    }
  }

 protected:
  static constexpr size_t kSize = 48;
  static constexpr int kBlocks = 4;

  // Pushes a batch that lists another block.
  void PushTwo(int first) {
    RemoteBatch* batch = RemoteBatch::Of(blocks_[first], nullptr);
    blocks_[first + 1]->LinkTo(nullptr);
    batch->blocks()[0] = blocks_[first + 1];
    batch->SetCount(1);
    owner_.Push(batch, batch);
    owner_.NoteSent(2 * kSize);
  }

  // Drains what was taken. Each block is used by whoever gets it.
  void Drain(Inbox* inbox) {
    while (Block* block = inbox->Next().block) {
      Expect(block->MayBeLinked(), "a block is not as it was freed");
      block->Unlink();
      int i = 0;
      while (i < kBlocks && block != blocks_[i]) ++i;
      Expect(i < kBlocks, "what came out is no block");
      ++came_out_[i];
    }
  }

  void ExpectAll() {
    for (const int count : came_out_) {
      Expect(count == 1, "a block did not come out once");
    }
  }

  Heap heap_;
  Inbox owner_, raiders_[2];
  Block* blocks_[kBlocks] = {};
  int came_out_[kBlocks] = {};  // each written by who has the block
};

// One pushes, the owner takes, and another heap raids.
class RaidCase : public InboxCase {
 public:
  RaidCase() : InboxCase("inbox, a take and a raid", 3) {}
  void Run(int thread) override {
    if (thread == 1) {
      PushTwo(0);
      PushTwo(2);
    } else if (thread == 2) {
      owner_.Take();
      Drain(&owner_);
    } else {
      raiders_[0].Raid(&owner_);
      Drain(&raiders_[0]);
    }
  }
  void Check() override {
    owner_.Take();
    Drain(&owner_);
    ExpectAll();
    Expect(owner_.IsEmpty(), "something is left");
  }
};

// A raider may stop in its raid, after another one had its place. Its heap is
// taken over and repaired.
class StoppedRaidCase : public InboxCase {
 public:
  StoppedRaidCase() : InboxCase("inbox, a raid that stops", 3, /*mortal=*/3) {}
  void SetUp() override {
    InboxCase::SetUp();
    PushTwo(0);
  }
  void Run(int thread) override {
    if (thread == 1) {
      PushTwo(2);
    } else {
      raiders_[thread - 2].Raid(&owner_);
      if (thread == 2) Drain(&raiders_[0]);
    }
  }
  void Check() override {
    raiders_[1].Repair();
    Drain(&raiders_[1]);
    owner_.Take();
    Drain(&owner_);
    ExpectAll();
  }
};

RaidCase raid;
const Listed listed(&raid);
StoppedRaidCase stopped;
const Listed listed_too(&stopped);

}  // namespace
}  // namespace aomalloc::weak
