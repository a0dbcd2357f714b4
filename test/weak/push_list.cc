// The push list: two threads push nodes with what they have written to them,
// and a taker takes them, with a mark.
#include "core/base/push_list.h"

#include "test/weak/cases.h"

namespace aomalloc::weak {
namespace {

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
  struct Node {
    void LinkTo(Node* to) { next = to; }
    Node* next = nullptr;
    int payload = 0;
    int taken = 0;
  };
  static constexpr AO_t kMark = AO_t{1} << PushList<Node>::kFirstMark;

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

PushListCase push_list;
const Listed listed(&push_list);

}  // namespace
}  // namespace aomalloc::weak
