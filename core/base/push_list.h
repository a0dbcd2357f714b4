// The list on which remote frees go home: any thread pushes, and a taker takes
// everything.
#ifndef AOMALLOC_CORE_BASE_PUSH_LIST_H_
#define AOMALLOC_CORE_BASE_PUSH_LIST_H_

#include "core/base/atomics.h"

namespace aomalloc {

// A lock-free stack with two operations: any thread pushes a chain, and a taker
// takes everything. Nothing pops a single node. So the head is compared by
// address alone, and there is no ABA problem: a push that succeeds has linked
// to the head of that moment, even if that node was taken and pushed again in
// between; a take that succeeds gets what is linked at that moment.
//
// The bits of the head word above an address are marks, one for each taker that
// may act at a time. A take flips its taker's mark. So an operation that
// repairs after a stopped taker, and knows the state that the taker saw, can
// see whether the take happened.
//
// `Node` has a member `LinkTo(Node*)`. User addresses are below 2^48. Push and
// TakeAll commit with their compare-and-swap. An operation that stops before it
// has changed nothing that others see; one that stops after it is complete.
template <typename Node>
class PushList {
 public:
  // The head, which is null in an empty list, and the marks.
  using State = AO_t;
  static constexpr int kFirstMark = 48;  // the lowest bit of the marks
  static constexpr AO_t kMarks = ~AO_t{0} << kFirstMark;
  static Node* Head(State state) {
    return reinterpret_cast<Node*>(state & ~kMarks);
  }

  // Pushes the chain from `first` to `last`.
  void Push(Node* first, Node* last) {
    State seen;
    do {
      seen = LoadRelaxed(&state_);
      last->LinkTo(Head(seen));
      // Release: pairs with TakeAll. The taker must see the links, and what was
      // written to the nodes before.
    } while (!CasRelease(&state_, seen,
                         reinterpret_cast<AO_t>(first) | (seen & kMarks)));
  }

  // Relaxed: who follows the links behind the head has taken the list, and is
  // ordered by TakeAll.
  State Look() const { return LoadRelaxed(&state_); }

  // Empties the list and flips `mark`, one bit, if the state is still `seen`.
  // Acquire: pairs with each Push since the last take, also where the list
  // looks as it was `seen` and was taken and pushed in between. All pushes are
  // read-modify-write operations, so the last one hands on the order of those
  // before it.
  bool TakeAll(State seen, AO_t mark) {
    return CasAcquire(&state_, seen, (seen & kMarks) ^ mark);
  }

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  AtomicWord state_ = 0;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_BASE_PUSH_LIST_H_
