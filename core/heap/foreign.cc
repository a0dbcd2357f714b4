#include "core/heap/foreign.h"

#include "core/arena/memory.h"
#include "core/heap/misuse.h"

namespace aomalloc {
void ForeignBlocks::KeepMore(SizeClass size_class) {
  // A kept block is used again soon, and the hardened build must not do that.
  if constexpr (hardening::kOn) return;
  constexpr size_t kStep = 8;
  const size_t size = ClassSize(size_class);
  const size_t more = allowed_[size_class] + kStep;
  const bool shares_lines = size % 64 != 0 && size < 256;
  const size_t most = memory::IsScarce() ? kMostScarceBytes : kMostBytes;
  if (shares_lines || more > kMostBlocks || more * size > kMostBytesOfClass ||
      allowed_bytes_ + kStep * size > most) {
    return;
  }
  allowed_bytes_ += kStep * size;
  allowed_[size_class] = static_cast<uint8_t>(more);
}

void ForeignBlocks::SendAll() {
  for (int i = 0; i < kNumClasses; ++i) {
    allowed_[i] = 0;
    while (Block* block = slab::Pop(&kept_[i])) {
      const Run* slab = memory::RunAt(block);
      outbox_.Add(OwnerOf(slab), block, slab::BlockSize(slab));
    }
    DropIfDamaged(&kept_[i]);
    kept_[i].used = 0;
  }
  allowed_bytes_ = 0;
  outbox_.Flush();
}

size_t ForeignBlocks::Bytes() const {
  size_t bytes = outbox_.Bytes();
  for (int i = 0; i < kNumClasses; ++i) {
    const int32_t used = Glance(kept_[i].used);
    if (used < 0) bytes += static_cast<size_t>(-used) * ClassSize(i);
  }
  return bytes;
}

bool ForeignBlocks::IsValid(const Owner* heap) const {
  for (int i = 0; i < kNumClasses; ++i) {
    size_t count = 0;
    for (const Block* block = kept_[i].free; block != nullptr;
         block = block->Next()) {
      const Run* slab = memory::RunAt(block);
      if (slab == nullptr || slab->kind != RunKind::kSlab ||
          slab->size_class != i ||
          slab::BlockStart(slab, block) !=
              reinterpret_cast<const char*>(block) ||
          OwnerOf(slab) == heap || ++count > kMostBlocks) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace aomalloc
