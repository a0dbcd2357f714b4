// PushList, with another thread's push or take at every instruction of one:
// what threads that really run at once do only now and then.
#include <gtest/gtest.h>

#include "core/base/push_list.h"
#include "test/step.h"

namespace aomalloc {
namespace {

#if defined(__x86_64__)

struct Node {
  void LinkTo(Node* to) { next = to; }
  Node* next = nullptr;
};

// Of a list in that state.
int Length(AO_t state) {
  const Node* node = PushList<Node>::Head(state);
  int length = 0;
  for (; node != nullptr && length < 100; node = node->next) ++length;
  return length;
}

constexpr AO_t kMark = AO_t{1} << PushList<Node>::kFirstMark;

TEST(PushListStepTest, APushMeetsAPush) {
  int steps = 1;
  for (int at = 1; at <= steps; ++at) {
    PushList<Node> list;
    Node before, mine, theirs;
    list.Push(&before, &before);
    Stepper::Run([&] { list.Push(&mine, &mine); },
                 [&](int n) {
                   steps = n;
                   if (n == at) list.Push(&theirs, &theirs);
                 });
    ASSERT_EQ(Length(list.Look()), 3) << at;
  }
  EXPECT_GT(steps, 4);
}

// The same nodes may come back between a push's look at the head and its swap.
TEST(PushListStepTest, APushMeetsATakeAndTheSameHeadAgain) {
  int steps = 1;
  for (int at = 1; at <= steps; ++at) {
    PushList<Node> list;
    Node first, second, mine;
    list.Push(&first, &first);
    list.Push(&second, &second);
    int taken = 0;
    Stepper::Run([&] { list.Push(&mine, &mine); },
                 [&](int n) {
                   steps = n;
                   if (n != at) return;
                   const AO_t seen = list.Look();
                   taken = Length(seen);
                   if (!list.TakeAll(seen, kMark)) taken = 100;
                   list.Push(&second, &second);  // without `first`
                   --taken;
                 });
    ASSERT_EQ(Length(list.Look()) + taken, 3) << at;
  }
}

TEST(PushListStepTest, ATakeMeetsAPush) {
  int steps = 1;
  for (int at = 1; at <= steps; ++at) {
    PushList<Node> list;
    Node first, theirs;
    list.Push(&first, &first);
    const AO_t seen = list.Look();
    bool took = false;
    Stepper::Run([&] { took = list.TakeAll(seen, kMark); },
                 [&](int n) {
                   steps = n;
                   if (n == at) list.Push(&theirs, &theirs);
                 });
    ASSERT_EQ(Length(list.Look()), took ? 1 : 2) << at;
    if (took) {
      ASSERT_EQ(PushList<Node>::Head(list.Look()), &theirs) << at;
    }
  }
  EXPECT_GT(steps, 3);
}

#endif

}  // namespace
}  // namespace aomalloc
