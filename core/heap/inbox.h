// Inboxes: the remote frees of a heap, until it drains them.
//
// Who touches what: Push, NoteSent, IsEmpty, sent_bytes and WaitingBytes may be
// called by any thread and handler, at any time. Everything else belongs to the
// operation that holds the claim on the heap whose inbox it is. Of another
// heap's inbox, such an operation touches only `list_` and `raiders_`, in Raid
// and Repair.
//
// Commit: remote frees are pushed with one compare-and-swap and are then in the
// heap's hands alone, with all the blocks that are listed in them. The batches
// are taken by the compare-and-swap that empties the list. A block leaves what
// was taken by the store to `left_`, or to `taken_`.
//
// Interruption: taking them first notes the list's state, then empties the
// list, which flips a mark there. So an abandoned take loses nothing: Repair
// sees by the mark whether the list was taken. An abandoned drain loses the
// block in hand.
//
// Other heaps may raid the list, when their threads have no memory left and
// this one's may be asleep. A raid works in the same way, and may be abandoned
// as well. So each raider takes a place in `raiders_` first, to which a mark
// belongs. A raider that stops for ever keeps its place, and what was on the
// list when it took it, until its heap is taken over. What comes later others
// can take. Once all places are taken, nobody can raid this inbox.
#ifndef AOMALLOC_CORE_HEAP_INBOX_H_
#define AOMALLOC_CORE_HEAP_INBOX_H_

#include "core/arena/memory.h"
#include "core/arena/run.h"
#include "core/base/atomics.h"
#include "core/base/likely.h"
#include "core/base/push_list.h"
#include "core/heap/batch.h"
#include "core/heap/misuse.h"
#include "core/heap/slab.h"

namespace aomalloc {

class Inbox {
 public:
  constexpr Inbox() = default;

  // Pushes the batches from `first` to `last`, a chain, with the blocks that
  // are listed in them.
  void Push(RemoteBatch* first, RemoteBatch* last) { list_.Push(first, last); }

  // Adds to the bytes that were pushed.
  void NoteSent(size_t bytes) { AddRelaxed(&sent_bytes_, bytes); }
  // The bytes that were ever pushed; and how many of them wait on the list. The
  // latter is a hint: what is pushed and taken meanwhile may count or not.
  size_t sent_bytes() const { return LoadRelaxed(&sent_bytes_); }
  size_t WaitingBytes() const {
    const size_t taken = LoadRelaxed(&taken_bytes_);
    const size_t sent = sent_bytes();
    return sent > taken ? sent - taken : 0;
  }

  // True if no batch waits on the list.
  bool IsEmpty() const { return List::Head(list_.Look()) == nullptr; }

  // True if batches were taken that are not drained yet.
  bool IsTaken() const { return taken_ != nullptr; }

  // Takes the batches that wait, unless some are left that were taken before.
  void Take();

  // Takes the batches that wait in another heap's inbox, unless kRaiders raids
  // of it are under way. To be called when IsTaken() is false.
  static constexpr int kRaiders = 8;
  void Raid(Inbox* victim);

  // The next block of what was taken, and its slab; nulls when none is left.
  // The block belongs to the caller from then on. A damaged block is reported
  // as misuse and lost. With a damaged batch the blocks that it lists are lost,
  // and the batches behind it.
  struct Arrival {
    Run* slab = nullptr;
    Block* block = nullptr;
  };
  [[gnu::always_inline]] Arrival Next() {
    while (RemoteBatch* batch = taken_) {
      if (Unlikely(batch != looked_at_ && !LookAt(batch))) break;
      // From the end of the list. The batch, which has the list, goes last.
      const size_t left = left_;
      if (left == 0) {
        // If this is abandoned, the batch is looked at once more.
        batch->SetCount(0);
        Commit<const RemoteBatch*>(&looked_at_, nullptr);
        Commit(&taken_, batch->Next());
        return {memory::RunAt(batch), batch};
      }
      Block* block = batch->blocks()[left - 1];
      if constexpr (hardening::kOn) {
        Commit<Block*>(&batch->blocks()[left - 1], nullptr);
      }
      Commit(&left_, left - 1);
      if (hardening::kOn && block == nullptr) continue;  // an abandoned Add
      Run* slab = memory::RunAt(block);
      if (Likely(IsListed(slab, block))) return {slab, block};
      Misuse("free", block, fault::kWritten);
    }
    return {};
  }

  // Finds out by the mark whether an abandoned take has emptied the list, and
  // ends an abandoned raid.
  void Repair();

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  using List = PushList<RemoteBatch>;
  static constexpr AO_t kOwnerMark = AO_t{1} << List::kFirstMark;
  static constexpr AO_t RaiderMark(int place) {
    return kOwnerMark << (1 + place);
  }
  static_assert(List::kFirstMark + 1 + kRaiders <= 64);

  void TakeFrom(Inbox* source, AO_t mark);
  void NoteTaken();
  // True if the batch that was taken is intact; then `left_` is the number of
  // blocks that it lists. Otherwise it is reported, and all that was taken is
  // lost.
  bool LookAt(const RemoteBatch* batch);
  // True if `block` is a block, as each entry of a batch is. (The hardened
  // build also looks into the block, before it is linked anew. The plain build
  // does not: the block's cache line may be far away.)
  static bool IsListed(const Run* slab, const Block* block) {
    return slab != nullptr && slab::IsBlock(slab, block) &&
           (!hardening::kOn || (slab::IsFree(slab, block) && block->IsWhole()));
  }
  // Takes a place among the raiders of `victim_`; kRaiders if all are taken.
  // Place: the one that this inbox has.
  int TakePlace();
  int Place() const;

  // While a list is being taken: its state before. The list is our own, or that
  // of `victim_` if there is one.
  List::State noted_ = 0;
  Inbox* victim_ = nullptr;
  RemoteBatch* taken_ = nullptr;
  const RemoteBatch* looked_at_ = nullptr;  // found intact
  size_t left_ = 0;  // of the blocks that it lists: those not drained yet
  AtomicWord raiders_[kRaiders] = {};  // the inboxes that raid this one, or 0
  // On a cache line of their own: other threads write them all the time.
  alignas(64) List list_;
  AtomicWord sent_bytes_ = 0;
  AtomicWord taken_bytes_ =
      0;  // what sent_bytes_ was when they were last taken
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_INBOX_H_
