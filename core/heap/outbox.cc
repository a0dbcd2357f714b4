#include "core/heap/outbox.h"

namespace aomalloc {

Owner* Outbox::AddSlow(Lane* lane, Owner* owner, Block* block, size_t size) {
  Owner* crowded = nullptr;
  if (lane->owner != owner) {
    if (lane->first != nullptr) crowded = Send(lane);
    lane->owner = owner;
  }
  Begin(lane, block, size);
  lane->bytes += static_cast<uint32_t>(size);
  if (lane->blocks >= kMaxBlocks || lane->bytes >= lane->most_bytes) {
    Owner* also = Send(lane);
    if (crowded == nullptr) crowded = also;
  }
  return crowded;
}

void Outbox::Begin(Lane* lane, Block* block, size_t size) {
  __builtin_prefetch(block, 1);
  RemoteBatch* fresh = RemoteBatch::Of(block, lane->first);
  if (lane->first != nullptr) {
    End(lane);
  } else {
    lane->last = fresh;
    lane->blocks = 0;
    lane->bytes = 0;
    lane->most_bytes = memory::IsScarce() ? kMaxScarceBytes : kMaxBytes;
  }
  ++lane->blocks;
  lane->listed = 0;
  Commit(&lane->first, fresh);
  // The last block of the lane comes to AddSlow, too.
  const uint32_t rest =
      lane->blocks < kMaxBlocks ? kMaxBlocks - 1 - lane->blocks : 0;
  const auto room = static_cast<uint32_t>(RemoteBatch::Room(size));
  Commit(&lane->room, room < rest ? room : rest);
}

void Outbox::End(Lane* lane) {
  if (lane->room == 0) return;
  // If somebody has written to the batch, it is left alone: its owner detects
  // that.
  if (Likely(lane->first->BearsWitness())) {
    lane->first->SetCount(lane->listed);
  }
  lane->blocks += lane->listed;
  Commit(&lane->room, uint32_t{0});
}

Owner* Outbox::Send(Lane* lane) {
  End(lane);
  RemoteBatch* first = lane->first;
  RemoteBatch* last = lane->last;
  Commit<RemoteBatch*>(&lane->first, nullptr);
  Owner* owner = lane->owner;
  owner->Remote(first, last, lane->bytes);
  return owner->IsCrowded() ? owner : nullptr;
}

void Outbox::Flush() {
  for (Lane& lane : lanes_) {
    if (lane.first != nullptr) Send(&lane);
  }
}

}  // namespace aomalloc
