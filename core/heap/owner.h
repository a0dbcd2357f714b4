// The part of a heap that other heaps use: where they send its blocks, and
// which thread holds it. The `owner` of a slab is one of these.
//
// Who touches what: Remote, HasRemote, IsCrowded, WaitingBytes, IsVisitDue and
// sent_bytes may be called by any thread and handler, at any time. inbox.h says
// who may touch `inbox_`, what commits there, and what an interruption leaves
// behind. `holder` and `claim` belong to the thread room (thread.h).
#ifndef AOMALLOC_CORE_HEAP_OWNER_H_
#define AOMALLOC_CORE_HEAP_OWNER_H_

#include "core/arena/run.h"
#include "core/heap/batch.h"
#include "core/heap/holder.h"
#include "core/heap/inbox.h"

namespace aomalloc {

class Owner : public Holder {
 public:
  // Frees the batches from `first` to `last`, a chain, with the blocks that are
  // listed in them: `bytes` bytes in all. Commits with the push; abandoned
  // before it, loses them.
  void Remote(RemoteBatch* first, RemoteBatch* last, size_t bytes) {
    inbox_.Push(first, last);
    inbox_.NoteSent(bytes);
  }

  // Frees one block of `bytes` bytes.
  void Remote(Block* block, size_t bytes) {
    RemoteBatch* batch = RemoteBatch::Of(block, nullptr);
    Remote(batch, batch, bytes);
  }

  // True if there are remote frees that this heap has not taken yet.
  bool HasRemote() const { return !inbox_.IsEmpty(); }

  // True if so much waits that whoever sends more should see to it
  // (visits::Relieve). A hint.
  bool IsCrowded() const { return WaitingBytes() >= kCrowd; }
  size_t WaitingBytes() const { return inbox_.WaitingBytes(); }

  // True if `bytes` bytes wait, and as many have come since this was last said
  // to be true. A hint.
  bool IsVisitDue(size_t bytes) {
    const size_t sent = sent_bytes();
    if (WaitingBytes() < bytes || sent - LoadRelaxed(&seen_bytes_) < bytes) {
      return false;
    }
    StoreRelaxed(&seen_bytes_, sent);
    return true;
  }

  // For reports: the bytes that were ever sent to this heap.
  size_t sent_bytes() const { return inbox_.sent_bytes(); }

 protected:
  constexpr Owner() = default;

  static constexpr size_t kCrowd = size_t{64} << 10;

  AtomicWord seen_bytes_ = 0;  // of sent_bytes, when a visit was last due
  Inbox inbox_;
};

// The heap that a slab belongs to; null for other runs. Relaxed: the program
// hands the block on, and order with it (atomics.h).
inline Owner* OwnerOf(const Run* run) {
  return reinterpret_cast<Owner*>(LoadRelaxed(&run->owner));
}

// The value of `owner` in the descriptors of this owner's slabs.
inline AO_t WordOf(const Owner* owner) { return reinterpret_cast<AO_t>(owner); }

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_OWNER_H_
