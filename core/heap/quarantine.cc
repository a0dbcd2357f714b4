#include "core/heap/quarantine.h"

namespace aomalloc {

Block* Quarantine::Exchange(Block* block) {
  random_ = hardening::SecretFor(reinterpret_cast<void*>(random_ + 1));
  Block** slot = &blocks_[random_ % kPlaces];
  Block* leaving = *slot;
  Commit(slot, block);
  return leaving;
}

Block* Quarantine::Release() {
  for (Block*& slot : blocks_) {
    Block* leaving = slot;
    if (leaving == nullptr) continue;
    Commit<Block*>(&slot, nullptr);
    return leaving;
  }
  return nullptr;
}

}  // namespace aomalloc
