// Outboxes: blocks of other heaps that this heap's thread has freed, on their
// way home. They are gathered by owner and sent many at a time, so that a
// remote free costs a fraction of a compare-and-swap; and the owner finds them
// listed in an array, not linked through cache lines that are far away.
//
// Who touches what: as with all of a heap, the operation that holds its claim,
// by plain loads and stores. What is sent belongs to the owner from the
// compare-and-swap on.
//
// Interruption: Add commits with the store to the count or to `first`;
// abandoned before, it loses its block. Abandoned in the few instructions
// between taking a lane's batches off and pushing them, Send loses these:
// kMaxBlocks blocks, or kMaxBytes and a block more, at most.
#ifndef AOMALLOC_CORE_OUTBOX_H_
#define AOMALLOC_CORE_OUTBOX_H_

#include "core/likely.h"
#include "core/memory.h"
#include "core/run.h"

namespace aomalloc {

// A remotely freed block, on its way to its owner. Others that go the same way
// are listed in it, as many as it has room for.
struct RemoteBatch : Block {
  void LinkTo(Block* to) { SetLink(to); }
  RemoteBatch* Next() const { return static_cast<RemoteBatch*>(Block::Next()); }
  Block** blocks() { return reinterpret_cast<Block**>(this + 1); }

  // How many a block of `size` bytes can list.
  static constexpr size_t Room(size_t size) {
    return (size - sizeof(Block)) / sizeof(Block*);
  }

  // How many of blocks() there are, if it is intact.
  size_t count() const { return WitnessedNumber(); }
  void SetCount(size_t count) { BearWitness(count); }

  // False if somebody has written to it since it was freed.
  bool IsIntact() const { return BearsWitness() && MayBeLinked(); }

  // Makes a batch of a block, with none listed.
  static RemoteBatch* Of(Block* block, RemoteBatch* next) {
    auto* batch = static_cast<RemoteBatch*>(block);
    batch->SetCount(0);
    batch->LinkTo(next);
    return batch;
  }
};

class Outbox {
 public:
  // What a lane holds before it is sent; the last, where memory is scarce.
  static constexpr uint32_t kMaxBlocks = 64;
  static constexpr uint32_t kMaxBytes = 16384;
  static constexpr uint32_t kMaxScarceBytes = 4096;

  // Takes a block of `size` bytes that belongs to `owner`.
  void Add(Heap* owner, Block* block, size_t size);

  // Sends everything.
  void Flush();

  // For reports, at any time: the bytes that are still to be sent.
  size_t Bytes() const {
    size_t bytes = 0;
    for (const Lane& lane : lanes_) {
      if (Glance(lane.first) != nullptr) bytes += Glance(lane.bytes);
    }
    return bytes;
  }

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  // What goes to one owner.
  struct Lane {
    Heap* owner;
    RemoteBatch* first;  // with room left, if any has; null if there is none
    RemoteBatch* last;
    uint32_t room;    // blocks that `first` can still list
    uint32_t listed;  // those that it lists, as far as we know
    uint32_t blocks;  // in all batches
    uint32_t bytes;
  };
  static constexpr int kLaneBits = 2;

  // Heaps lie side by side: which of them it is shows in the high bits only.
  static size_t LaneOf(const Heap* owner) {
    return reinterpret_cast<uintptr_t>(owner) * 0x9E3779B97F4A7C15u >>
           (64 - kLaneBits);
  }
  static void Send(Lane* lane);

  Lane lanes_[1 << kLaneBits] = {};
};

inline void Outbox::Add(Heap* owner, Block* block, size_t size) {
  Lane* lane = &lanes_[LaneOf(owner)];
  if (lane->owner != owner) {
    if (lane->first != nullptr) Send(lane);
    lane->owner = owner;
  }
  RemoteBatch* batch = lane->first;
  const size_t count = lane->listed;
  // If somebody has written to the batch, its owner will find out.
  if (batch != nullptr && lane->room > 0 && Likely(batch->count() == count)) {
    Block** place = batch->blocks() + count;
    --lane->room;
    lane->listed = static_cast<uint32_t>(count + 1);
    block->LinkTo(nullptr);
    if constexpr (hardening::kOn) {
      // What is listed must be wiped again; an abandoned listing is null.
      batch->SetCount(count + 1);
      Commit(place, block);
    } else {
      *place = block;
      batch->SetCount(count + 1);
    }
  } else {
    __builtin_prefetch(block, 1);
    RemoteBatch* fresh = RemoteBatch::Of(block, batch);
    if (batch == nullptr) {
      lane->last = fresh;
      lane->blocks = 0;
      lane->bytes = 0;
    }
    lane->room = 0;  // until `first` is the block that has it
    lane->listed = 0;
    Commit(&lane->first, fresh);
    lane->room = static_cast<uint32_t>(RemoteBatch::Room(size));
  }
  ++lane->blocks;
  lane->bytes += static_cast<uint32_t>(size);
  const uint32_t most = memory::IsScarce() ? kMaxScarceBytes : kMaxBytes;
  if (lane->blocks >= kMaxBlocks || lane->bytes >= most) Send(lane);
}

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_OUTBOX_H_
