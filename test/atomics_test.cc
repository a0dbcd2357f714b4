#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "core/base/push_list.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

struct Node {
  void LinkTo(Node* to) { next = to; }
  Node* next = nullptr;
  std::atomic<int> taken{0};
  int payload = 0;
};

TEST(AtomicWordTest, CompareAndSwapSaysWhetherItDid) {
  for (auto cas : {CasAcquire, CasRelease, CasFull}) {
    AtomicWord word = 5;
    EXPECT_FALSE(cas(&word, 4, 9));
    EXPECT_EQ(LoadRelaxed(&word), 5u);
    EXPECT_TRUE(cas(&word, 5, 9));
    EXPECT_EQ(LoadAcquire(&word), 9u);
  }
}

TEST(AtomicWordTest, BitsOfOthersStay) {
  AtomicWord word = 0xF0F0;
  ClearBitsRelease(&word, 0xFF00);
  EXPECT_EQ(LoadRelaxed(&word), 0x00F0u);
  SetBits(&word, 0x0F00);
  EXPECT_EQ(LoadRelaxed(&word), 0x0FF0u);
  AddRelaxed(&word, ~AO_t{0x10} + 1);
  EXPECT_EQ(LoadRelaxed(&word), 0x0FE0u);
}

TEST(AtomicWordTest, NothingThatThreadsDoAtOnceIsLost) {
  AtomicWord sum = 0, bits = 0, swaps = 0;
  InThreads(4, [&](int id) {
    const AO_t mine = AO_t{0xFFFF} << (16 * id);
    for (int i = 0; i < 100000; ++i) {
      AddRelaxed(&sum, 3);
      SetBits(&bits, mine);
      EXPECT_EQ(LoadRelaxed(&bits) & mine, mine);
      ClearBitsRelease(&bits, mine);
      EXPECT_EQ(LoadRelaxed(&bits) & mine, 0u);
      AO_t old;
      do {
        old = LoadRelaxed(&swaps);
      } while (!CasFull(&swaps, old, old + 1));
    }
  });
  EXPECT_EQ(LoadRelaxed(&sum), 1200000u);
  EXPECT_EQ(LoadRelaxed(&bits), 0u);
  EXPECT_EQ(LoadRelaxed(&swaps), 400000u);
}

constexpr AO_t kMark = AO_t{1} << PushList<Node>::kFirstMark;

TEST(PushListTest, LastInFirstOutAndTakenWhole) {
  Node nodes[4];
  PushList<Node> list;
  const auto head = [&] { return PushList<Node>::Head(list.Look()); };
  EXPECT_EQ(head(), nullptr);
  list.Push(&nodes[0], &nodes[0]);
  nodes[2].next = &nodes[3];
  list.Push(&nodes[2], &nodes[3]);
  EXPECT_EQ(head(), &nodes[2]);
  EXPECT_EQ(nodes[3].next, &nodes[0]);
  EXPECT_EQ(nodes[0].next, nullptr);
  const AO_t before = list.Look();
  list.Push(&nodes[1], &nodes[1]);
  EXPECT_FALSE(list.TakeAll(before, kMark)) << "the head is another by now";
  EXPECT_EQ(head(), &nodes[1]);
  EXPECT_TRUE(list.TakeAll(list.Look(), kMark));
  EXPECT_EQ(head(), nullptr);
}

TEST(PushListTest, ATakeFlipsItsMarkAndNothingElseDoes) {
  Node node;
  PushList<Node> list;
  AO_t marks = 0;
  for (const int bit : {0, 0, 1, 0, 15, 1, 0, 15}) {
    const AO_t mark = AO_t{1} << (PushList<Node>::kFirstMark + bit);
    list.Push(&node, &node);
    const AO_t state = list.Look();
    EXPECT_EQ(state & PushList<Node>::kMarks, marks);
    EXPECT_EQ(PushList<Node>::Head(state), &node);
    EXPECT_TRUE(list.TakeAll(state, mark));
    marks ^= mark;
    EXPECT_EQ(list.Look(), marks);
  }
}

TEST(PushListTest, PushesAtTheSameTimeAllArrive) {
  constexpr int kPushers = 4;
  constexpr int kNodes = 200000;
  std::vector<std::vector<Node>> nodes;
  for (int i = 0; i < kPushers; ++i) nodes.emplace_back(kNodes);
  PushList<Node> list;
  InThreads(kPushers, [&](int id) {
    for (Node& node : nodes[id]) list.Push(&node, &node);
  });
  int received = 0;
  for (Node* node = list.Head(list.Look()); node != nullptr;
       node = node->next) {
    ++received;
  }
  EXPECT_EQ(received, kPushers * kNodes);
}

// Four threads push chains of one to three nodes again and again, and one takes
// them and gives them back to their pushers: the same addresses come back
// while others push, which is what trips stacks that pop.
TEST(PushListTest, NothingIsLostOrDoubled) {
  constexpr int kPushers = 4;
  constexpr int kNodes = 30;
  constexpr int kRounds = 3000;
  static Node nodes[kPushers][kNodes];
  PushList<Node> list;
  std::atomic<int> pushing{kPushers};
  std::atomic<long> pushed{0};
  std::atomic<bool> lost{false};
  long received = 0;
  InThreads(kPushers + 1, [&](int id) {
    if (id < kPushers) {
      for (int round = 1; round <= kRounds; ++round) {
        for (int i = 0; i < kNodes;) {
          const int count = std::min(1 + (round + i) % 3, kNodes - i);
          Node* first = &nodes[id][i];
          for (int j = 0; j < count; ++j) {
            const double deadline = Seconds() + 30;
            // Taken as often as pushed: it has come back.
            while (first[j].taken.load() != round - 1 && !lost) {
              std::this_thread::yield();
              if (Seconds() > deadline) lost = true;
            }
            first[j].next = j + 1 < count ? &first[j + 1] : nullptr;
            first[j].payload = round;
          }
          list.Push(first, first + count - 1);
          pushed += count;
          i += count;
        }
      }
      --pushing;
      return;
    }
    while (true) {
      const bool last = pushing == 0;
      AO_t seen = list.Look();
      while (list.Head(seen) != nullptr && !list.TakeAll(seen, kMark)) {
        seen = list.Look();
      }
      Node* head = list.Head(seen);
      while (head != nullptr) {
        Node* next = head->next;
        ++received;
        ASSERT_EQ(head->payload, head->taken.load() + 1)
            << "taken twice, or before it was written";
        ++head->taken;
        head = next;
      }
      if (last) return;
      std::this_thread::yield();
    }
  });
  EXPECT_FALSE(lost) << "a node never came back";
  EXPECT_EQ(pushed, long{kPushers} * kNodes * kRounds);
  EXPECT_EQ(received, pushed);
}

}  // namespace
}  // namespace aomalloc
