// The push list: two threads push nodes with what they have written to them,
// and a taker takes them, with a mark.
#include "core/base/push_list.h"

#include "test/weak/cases.h"

namespace aomalloc::weak {
namespace {

struct Node {
  void LinkTo(Node* to) { next = to; }
  Node* next = nullptr;
  int payload = 0;
  int taken = 0;
};
constexpr AO_t kMark = AO_t{1} << PushList<Node>::kFirstMark;

class PushListCase : public Case {
 public:
  PushListCase() : Case("push list", 3) {}

  void Run(int thread) override {
    if (thread < 3) {
      Node* node = &nodes_[thread - 1];
      node->payload = thread;
      list_.Push(node, node);
    } else {
      Take();
      Take();
    }
  }

  void Check() override {
    Take();
    for (const Node& node : nodes_) {
      Expect(node.taken == 1, "a node was not taken once");
    }
  }

 private:
  void Take() {
    const AO_t seen = list_.Look();
    if (!list_.TakeAll(seen, kMark)) return;
    for (Node* node = list_.Head(seen); node != nullptr; node = node->next) {
      Expect(node->payload == node - nodes_ + 1, "a payload is missing");
      ++node->taken;
    }
  }

  PushList<Node> list_;
  Node nodes_[2];
};

// The list is as a taker has seen it, but another thread has taken the node
// twice meanwhile and pushed it again.
class SameHeadCase : public Case {
 public:
  SameHeadCase() : Case("push list, the same head again", 2) {}

  void SetUp() override { list_.Push(&node_, &node_); }

  void Run(int thread) override {
    if (thread == 1) {
      for (int i = 0; i < 2 && Take(kMark); ++i) list_.Push(&node_, &node_);
    } else {
      Take(kMark << 1);
    }
  }

 private:
  bool Take(AO_t mark) {
    const AO_t seen = list_.Look();
    if (list_.Head(seen) == nullptr || !list_.TakeAll(seen, mark)) return false;
    ++node_.payload;
    return true;
  }

  PushList<Node> list_;
  Node node_;
};

PushListCase push_list;
const Listed listed(&push_list);
SameHeadCase same_head;
const Listed listed_too(&same_head);

}  // namespace
}  // namespace aomalloc::weak
