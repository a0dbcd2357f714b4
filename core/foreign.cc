#include "core/foreign.h"

#include "core/memory.h"

namespace aomalloc {
namespace {

AO_t OwnerOf(const Run* slab) { return LoadRelaxed(&slab->owner); }

}  // namespace

void ForeignBlocks::KeepMore(SizeClass size_class) {
  // What is kept is used again at once.
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
      outbox_.Add(reinterpret_cast<Heap*>(OwnerOf(slab)), block,
                  slab::BlockSize(slab));
    }
    slab::DropIfDamaged(&kept_[i]);
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

bool ForeignBlocks::IsValid(const Heap* heap) const {
  for (int i = 0; i < kNumClasses; ++i) {
    size_t count = 0;
    for (const Block* block = kept_[i].free; block != nullptr;
         block = block->Next()) {
      const Run* slab = memory::RunAt(block);
      if (slab == nullptr || slab->kind != RunKind::kSlab ||
          slab->size_class != i ||
          slab::BlockStart(slab, block) !=
              reinterpret_cast<const char*>(block) ||
          OwnerOf(slab) == reinterpret_cast<AO_t>(heap) ||
          ++count > kMostBlocks) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace aomalloc
