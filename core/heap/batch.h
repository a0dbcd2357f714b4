// Batches: remotely freed blocks that go home together.
//
// Who touches what: a batch belongs to the operation that has it in hand, or
// whose heap has it in its outbox, until the batch is pushed on the owner's
// inbox. From then on it belongs to the operation that takes it from there.
//
// Commit and interruption: see outbox.h for the time before the push, and
// inbox.h for the time after it.
#ifndef AOMALLOC_CORE_HEAP_BATCH_H_
#define AOMALLOC_CORE_HEAP_BATCH_H_

#include "core/arena/run.h"

namespace aomalloc {

// A remotely freed block on its way to its owner. It lists other blocks of the
// same owner, as many as it has room for.
struct RemoteBatch : Block {
  // Unlike Block::LinkTo, this leaves the witness alone: it holds the count.
  void LinkTo(Block* to) { SetLink(to); }
  RemoteBatch* Next() const { return static_cast<RemoteBatch*>(Block::Next()); }
  // The list: an array behind the link, of count() entries.
  Block** blocks() { return reinterpret_cast<Block**>(this + 1); }

  // The number of blocks that a block of `size` bytes can list.
  static constexpr size_t Room(size_t size) {
    return (size - sizeof(Block)) / sizeof(void*);
  }

  // The number of listed blocks if the batch is intact; otherwise any number.
  size_t count() const { return WitnessedNumber(); }
  void SetCount(size_t count) { BearWitness(count); }

  // False if the first two words were overwritten since the block was freed.
  bool IsIntact() const { return BearsWitness() && MayBeLinked(); }

  // Makes `block` a batch that lists no block and leads to `next`, which may be
  // null.
  static RemoteBatch* Of(Block* block, RemoteBatch* next) {
    auto* batch = static_cast<RemoteBatch*>(block);
    batch->SetCount(0);
    batch->LinkTo(next);
    return batch;
  }
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_BATCH_H_
