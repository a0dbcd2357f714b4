#include "core/heap/outbox.h"

namespace aomalloc {

void Outbox::Send(Lane* lane) {
  RemoteBatch* first = lane->first;
  RemoteBatch* last = lane->last;
  Commit<RemoteBatch*>(&lane->first, nullptr);
  lane->owner->Remote(first, last, lane->bytes);
}

void Outbox::Flush() {
  for (Lane& lane : lanes_) {
    if (lane.first != nullptr) Send(&lane);
  }
}

}  // namespace aomalloc
