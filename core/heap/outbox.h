// Outboxes: blocks of other heaps that this heap's thread has freed, on their
// way home. They are gathered by owner and sent many at a time, so that a
// remote free costs a fraction of a compare-and-swap. The owner finds them
// listed in an array, not linked through cache lines that are far away.
//
// Who touches what: the operation that holds the heap's claim, by plain loads
// and stores. What is sent belongs to its owner from the compare-and-swap on
// (inbox.h). Reports read the counts at any time (Glance).
//
// Commit: Add commits with the store to `listed` or to `first` (in the hardened
// build, with the store to the list in place of `listed`). Send commits with
// the push.
//
// Interruption: abandoned before its commit, Add loses its block. Abandoned in
// the few instructions between taking a lane's batches off and pushing them,
// Send loses these: at most kMaxBlocks blocks, and at most kMaxBytes and one
// block. (Each Add that was abandoned between its commit and its Send makes
// that one block more.)
//
// How many blocks the first batch of a lane lists, the lane knows while `room`
// is not 0. The count in the batch is written, and `room` is set to 0, before
// another batch becomes the first, and before the batches are sent.
#ifndef AOMALLOC_CORE_HEAP_OUTBOX_H_
#define AOMALLOC_CORE_HEAP_OUTBOX_H_

#include "core/arena/memory.h"
#include "core/arena/run.h"
#include "core/base/likely.h"
#include "core/heap/batch.h"
#include "core/heap/owner.h"

namespace aomalloc {

class Outbox {
 public:
  // The limits of a lane: it is sent when it has so many blocks or bytes.
  // kMaxScarceBytes is the limit where memory is scarce.
  static constexpr uint32_t kMaxBlocks = 64;
  static constexpr uint32_t kMaxBytes = 16384;
  static constexpr uint32_t kMaxScarceBytes = 4096;

  // Takes a block of `size` bytes that belongs to `owner`. Returns an owner
  // that batches were sent to and whose inbox is crowded, or null.
  Owner* Add(Owner* owner, Block* block, size_t size);

  // Sends all lanes.
  void Flush();

  // For reports, at any time: the bytes of blocks that wait here.
  size_t Bytes() const {
    size_t bytes = 0;
    for (const Lane& lane : lanes_) {
      if (Glance(lane.first) != nullptr) bytes += Glance(lane.bytes);
    }
    return bytes;
  }

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  // The batches that go to one owner.
  struct Lane {
    Owner* owner;
    RemoteBatch* first;  // the one with room, if any has; null: none
    RemoteBatch* last;
    uint32_t room;    // blocks that `first` may list; or 0: no more
    uint32_t listed;  // blocks that it lists, if `room` is not 0
    uint32_t blocks;  // in all batches, but for those that `listed` counts
    uint32_t bytes;
    uint32_t most_bytes;  // the limit
  };
  static constexpr int kLaneBits = 2;

  // Heaps lie side by side, so that their addresses differ in a few bits. The
  // high bits of the product depend on all of them.
  static size_t LaneOf(const Owner* owner) {
    return reinterpret_cast<uintptr_t>(owner) * 0x9E3779B97F4A7C15u >>
           (64 - kLaneBits);
  }
  // Add, where the lane has another owner, or no room.
  static Owner* AddSlow(Lane* lane, Owner* owner, Block* block, size_t size);
  // Makes `block` the first batch of the lane.
  static void Begin(Lane* lane, Block* block, size_t size);
  // Writes the count of the first batch, which lists no more blocks then.
  static void End(Lane* lane);
  // Takes the lane's batches off it, and pushes them on their owner's inbox.
  // Returns the owner if that is crowded now, or null.
  static Owner* Send(Lane* lane);

  Lane lanes_[1 << kLaneBits] = {};
};

inline Owner* Outbox::Add(Owner* owner, Block* block, size_t size) {
  Lane* lane = &lanes_[LaneOf(owner)];
  const uint32_t listed = lane->listed;
  if (Unlikely(lane->owner != owner) || Unlikely(listed >= lane->room)) {
    return AddSlow(lane, owner, block, size);
  }
  Block** place = lane->first->blocks() + listed;
  block->MarkInBatch();
  if constexpr (hardening::kOn) {
    // The count goes first. An Add that is abandoned in between leaves a null
    // in the list, which the owner leaves out. A block that is in the list but
    // not counted would stay there, and the batch would not be zero when it is
    // handed out again.
    Commit(&lane->listed, listed + 1);
    Commit(place, block);
  } else {
    *place = block;
    Commit(&lane->listed, listed + 1);
  }
  lane->bytes += static_cast<uint32_t>(size);
  return Likely(lane->bytes < lane->most_bytes) ? nullptr : Send(lane);
}

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_OUTBOX_H_
