// Inboxes: the remote frees of a heap, until it drains them.
//
// Who touches what: Push may be called by anybody at any time. Everything else
// belongs to the operation that holds the claim on the heap whose inbox it is;
// of another one's inbox it touches what Raid says.
//
// Remote frees are pushed with one compare-and-swap and are then in the heap's
// hands alone, with all the blocks that are listed in them. Taking them first
// notes the list's state, then empties the list, which flips a mark there. So
// an operation that is abandoned anywhere loses nothing: Repair sees by the
// mark whether the list was taken.
//
// Another heap may raid the list, when its thread starves and this one's may be
// asleep. It does the same with a mark of its own, and may be abandoned as
// well; so there is one raider at a time, `raider_`. Who comes second goes
// without. A raider that stops for ever keeps what it took until its heap is
// taken over; it was out of reach before, too.
#ifndef AOMALLOC_CORE_INBOX_H_
#define AOMALLOC_CORE_INBOX_H_

#include "core/atomics.h"
#include "core/likely.h"
#include "core/memory.h"
#include "core/misuse.h"
#include "core/outbox.h"
#include "core/run.h"
#include "core/slab.h"

namespace aomalloc {

class Inbox {
 public:
  constexpr Inbox() = default;

  // Brings in the blocks from `first` to `last`, a chain, and those that are
  // listed in them.
  void Push(RemoteBatch* first, RemoteBatch* last) { list_.Push(first, last); }

  // For reports: to be told how much was pushed, and how much that is in all.
  void NoteSent(size_t bytes) { AddRelaxed(&sent_bytes_, bytes); }
  size_t sent_bytes() const { return LoadRelaxed(&sent_bytes_); }

  // True if nothing waits on the list.
  bool IsEmpty() const { return List::Head(list_.Look()) == nullptr; }

  // True if something was taken that is still to be drained.
  bool IsTaken() const { return taken_ != nullptr; }

  // Takes what waits, if nothing that was taken is left.
  void Take();

  // Takes what waits in another inbox, unless somebody else is about to.
  // Nothing that was taken before is left.
  void Raid(Inbox* victim);

  // The next block of what was taken, which is then the caller's, and its slab;
  // nulls when there is none. What is not as it should be is reported and lost;
  // if it is a batch, so is what comes behind it.
  struct Taken {
    Run* slab = nullptr;
    Block* block = nullptr;
  };
  Taken Next() {
    while (RemoteBatch* batch = taken_) {
      if (Unlikely(batch != looked_at_ && !LookAt(batch))) break;
      __builtin_prefetch(batch->Next());
      // From the end; the batch itself, which has the list, goes last.
      const size_t count = batch->count();
      if (count == 0) {
        looked_at_ = nullptr;
        Commit(&taken_, batch->Next());
        return {memory::RunAt(batch), batch};
      }
      Block* block = batch->blocks()[count - 1];
      if constexpr (hardening::kOn) {
        Commit<Block*>(&batch->blocks()[count - 1], nullptr);
      }
      batch->SetCount(count - 1);
      if (hardening::kOn && block == nullptr) continue;  // of an abandoned Add
      Run* slab = memory::RunAt(block);
      if (Likely(IsListed(slab, block))) return {slab, block};
      Misuse("free", block, fault::kWritten);
    }
    return {};
  }

  // Finds out whether a take that was abandoned took.
  void Repair();

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  using List = PushList<RemoteBatch>;
  static constexpr AO_t kOwnerMark = 1;
  static constexpr AO_t kRaiderMark = 2;

  void TakeFrom(Inbox* source, AO_t mark);
  void NoteTaken();
  // True if the batch that was taken is as it should be; else it is lost.
  bool LookAt(const RemoteBatch* batch);
  // True if it is a block, as what a batch lists is. (The hardened build looks
  // at it, too, before it is linked anew; its line may be far away.)
  static bool IsListed(const Run* slab, const Block* block) {
    return slab != nullptr && slab::IsBlock(slab, block) &&
           (!hardening::kOn || (slab::IsFree(slab, block) && block->IsWhole()));
  }
  bool IsRaider() const {
    return victim_ != nullptr &&
           LoadRelaxed(&victim_->raider_) == reinterpret_cast<AO_t>(this);
  }

  // While a list is taken: its state before. It is ours, or that of `victim_`.
  List::State noted_ = 0;
  Inbox* victim_ = nullptr;
  RemoteBatch* taken_ = nullptr;
  const RemoteBatch* looked_at_ = nullptr;  // which was found intact
  // On a line of their own: others write them all the time.
  alignas(64) List list_;
  AtomicWord raider_ = 0;  // the inbox that raids this one, or 0
  AtomicWord sent_bytes_ = 0;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_INBOX_H_
