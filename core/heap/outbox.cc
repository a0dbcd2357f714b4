#include "core/heap/outbox.h"

namespace aomalloc {

Owner* Outbox::Send(Lane* lane) {
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
