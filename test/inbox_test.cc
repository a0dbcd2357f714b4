// Inboxes: blocks that are pushed come out once, whoever takes them, and
// whichever operation is abandoned or cut in two by another.
#include "core/heap/inbox.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <map>
#include <vector>

#include "test/heaps.h"
#include "test/step.h"

namespace aomalloc {
namespace {

class InboxTest : public testing::Test {
 protected:
  static constexpr int kBatches = 4;
  static constexpr int kListed = 3;
  static constexpr size_t kSize = 48;  // room for four

  InboxTest() {
    for (int i = 0; i < kBatches; ++i) {
      batches_[i] = TakeFrom(heap_, kSize);
      for (int j = 0; j < i; ++j) listed_[i][j] = TakeFrom(heap_, kSize);
    }
  }

  static RemoteBatch* BatchOf(Block* block, RemoteBatch* next = nullptr) {
    return RemoteBatch::Of(block, next);
  }

  // Batches of one block to four, in two pushes.
  void PushAll() {
    for (int i = 0; i < kBatches; i += 2) {
      RemoteBatch* last = BatchOf(batches_[i + 1]);
      RemoteBatch* first = BatchOf(batches_[i], last);
      List(first, i);
      List(last, i + 1);
      owner_.Push(first, last);
    }
  }
  void List(RemoteBatch* batch, int count) {
    for (int j = 0; j < count; ++j) {
      batch->blocks()[j] = listed_[count][j];
    }
    batch->SetCount(static_cast<size_t>(count));
  }

  void Drain(Inbox* inbox) {
    while (Block* block = inbox->Next().block) ++seen_[block];
  }

  // Drains all that is anywhere. True if each block was there `times` times
  // since the test began.
  bool AllCameOut(int times = 1) {
    for (Inbox* inbox : {&owner_, &first_, &second_}) {
      Drain(inbox);
      inbox->Take();
      Drain(inbox);
    }
    size_t blocks = 0;
    for (const auto& [block, count] : seen_) {
      ++blocks;
      if (count != times) return false;
    }
    return blocks == kBatches + 0 + 1 + 2 + 3;
  }

  Heap* heap_ = NewHeap();  // heaps never die
  Block* batches_[kBatches];
  Block* listed_[kBatches][kListed];
  Block* more_ = TakeFrom(heap_, kSize);
  Inbox owner_, first_, second_;
  std::map<Block*, int> seen_;
};

TEST_F(InboxTest, TheOwnerTakesWhatWasPushed) {
  PushAll();
  EXPECT_FALSE(owner_.IsEmpty());
  EXPECT_EQ(owner_.Next().block, nullptr) << "not taken yet";
  owner_.Take();
  EXPECT_TRUE(owner_.IsEmpty());
  EXPECT_TRUE(owner_.IsTaken());
  EXPECT_TRUE(AllCameOut());
  EXPECT_FALSE(owner_.IsTaken());
}

TEST_F(InboxTest, ARaiderTakesIt) {
  PushAll();
  first_.Raid(&owner_);
  EXPECT_TRUE(owner_.IsEmpty());
  EXPECT_TRUE(first_.IsTaken());
  second_.Raid(&owner_);
  EXPECT_FALSE(second_.IsTaken()) << "there is nothing left";
  Drain(&first_);
  EXPECT_TRUE(AllCameOut());
  PushAll();
  second_.Raid(&owner_);
  EXPECT_TRUE(second_.IsTaken()) << "it cannot be raided again";
  EXPECT_TRUE(AllCameOut(2));
}

#if defined(__x86_64__)

// At each instruction of a raid or a take somebody else raids, takes or pushes.
TEST_F(InboxTest, OthersMayComeInBetween) {
  for (const bool raid : {true, false}) {
    for (int other = 0; other < 3; ++other) {
      int steps = 1;
      for (int at = 1; at <= steps; at += Stepper::kStride) {
        SCOPED_TRACE(testing::Message() << raid << other << " at " << at);
        seen_.clear();
        PushAll();
        RemoteBatch* more = BatchOf(more_);
        Stepper::Run([&] { raid ? first_.Raid(&owner_) : owner_.Take(); },
                     [&](int n) {
                       steps = n;
                       if (n != at) return;
                       if (other == 0) owner_.Push(more, more);
                       if (other == 1) second_.Raid(&owner_);
                       if (other == 2 && raid) owner_.Take();
                     });
        AllCameOut();
        const int pushed = other == 0 && at <= steps ? 1 : 0;
        ASSERT_EQ(seen_.erase(more), pushed);
        ASSERT_TRUE(AllCameOut());
      }
      EXPECT_GT(steps, 10);
    }
  }
}

// Abandoned at any instruction, and repaired when others have taken what was
// left, or when all of it has come back.
TEST_F(InboxTest, AbandonedAnywhere) {
  for (const bool raid : {true, false}) {
    for (const bool comes_back : {true, false}) {
      int limit = 0;
      bool abandoned = true;
      while (abandoned) {
        SCOPED_TRACE(testing::Message() << raid << comes_back << limit);
        seen_.clear();
        PushAll();
        abandoned = Stepper::Abandon(
            [&] { raid ? first_.Raid(&owner_) : owner_.Take(); },
            limit += Stepper::kStride);
        int times = 1;
        Inbox* repaired = raid ? &first_ : &owner_;
        if (comes_back && !owner_.IsEmpty()) {
          // Not taken: others take it, and it is freed once more.
          if (raid) {
            owner_.Take();
            Drain(&owner_);
          } else {
            second_.Raid(&owner_);
            Drain(&second_);
          }
          PushAll();
          times = 2;
        }
        repaired->Repair();
        ASSERT_TRUE(AllCameOut(times));
        PushAll();
        second_.Raid(&owner_);
        ASSERT_TRUE(second_.IsTaken()) << "nobody can raid any more";
        ASSERT_TRUE(AllCameOut(times + 1));
      }
      EXPECT_GT(limit, 10);
    }
  }
}

// A raider may stop for ever, at any instruction. What comes afterwards another
// one takes.
// A program may write to a batch: to its link, after which it leads anywhere,
// or to one byte of the count.
TEST_F(InboxTest, ABatchThatWasWrittenToEndsTheList) {
  for (const size_t byte : {8, 12, 13, 0, 7}) {
    EXPECT_EXIT(
        {
          PushAll();
          reinterpret_cast<char*>(batches_[2])[byte] ^= 3;
          owner_.Take();
          Drain(&owner_);
        },
        testing::KilledBySignal(SIGABRT), "written to after it was freed")
        << byte;
  }
}

TEST_F(InboxTest, OthersRaidWhereARaiderHasStopped) {
  int limit = 0;
  bool stopped = true;
  while (stopped) {
    SCOPED_TRACE(limit);
    seen_.clear();
    PushAll();
    stopped = Stepper::Abandon([&] { first_.Raid(&owner_); },
                               limit += Stepper::kStride);
    RemoteBatch* more = BatchOf(more_);
    owner_.Push(more, more);
    second_.Raid(&owner_);
    Drain(&second_);
    ASSERT_EQ(seen_.erase(more), 1u);
    first_.Repair();
    ASSERT_TRUE(AllCameOut());
  }
  EXPECT_GT(limit, 10);
}

#endif

}  // namespace
}  // namespace aomalloc
