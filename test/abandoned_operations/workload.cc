#include "test/abandoned_operations/workload.h"

#include <malloc.h>
#include <stdlib.h>

#include "test/abandoned_operations/interrupt.h"

namespace abandon {

bool Pipe::Put(const Held& held) {
  const size_t put = put_.load(std::memory_order_relaxed);
  if (put - taken_.load(std::memory_order_acquire) == kSlots) return false;
  slots_[put % kSlots] = held;
  put_.store(put + 1, std::memory_order_release);
  return true;
}

bool Pipe::Take(Held* held) {
  const size_t taken = taken_.load(std::memory_order_relaxed);
  if (put_.load(std::memory_order_acquire) == taken) return false;
  *held = slots_[taken % kSlots];
  taken_.store(taken + 1, std::memory_order_release);
  return true;
}

size_t Workload::MaxSize() { return IsMapped() ? 4096 : 512; }

void Workload::Share(Pipe* outgoing, Pipe* incoming) {
  outgoing_ = outgoing;
  incoming_ = incoming;
}

void Workload::Take(Held* slot, size_t size) {
  const size_t way = random_.Below(8);
  void* block = Exposed([=]() -> void* {
    void* aligned = nullptr;
    switch (way) {
      case 0:
        return calloc(1, size);
      case 1:
        return aligned_alloc(256, size);
      case 2:
        return posix_memalign(&aligned, 64, size) == 0 ? aligned : nullptr;
      default:
        return malloc(size);
    }
  });
  slot->Hold(block, size, &random_);
}

void Workload::Resize(Held* slot, size_t size) {
  void* block = slot->LetGo();
  block = Exposed([=] { return realloc(block, size); });
  slot->Hold(block, size, &random_);
}

void Workload::Give(Held* slot) {
  if (outgoing_ != nullptr && random_.Below(4) == 0 && outgoing_->Put(*slot)) {
    slot->Forget();
    return;
  }
  void* block = slot->LetGo();
  Exposed([=] { free(block); });
}

// After an abandoned round some of its blocks are still held.
void Workload::Refresh(Held* slot, size_t size) {
  if (*slot) free(slot->LetGo());
  Take(slot, size);
}

void Workload::Operate() {
  // More blocks, fewer blocks: so that slabs get full and get empty.
  const bool filling = operations_++ / 512 % 2 == 0;
  Held* slot = &slots_[random_.Below(kSlots)];
  const size_t size = 1 + random_.SkewedBelow(MaxSize());
  if (!*slot) {
    if (incoming_ != nullptr && random_.Below(8) == 0 &&
        incoming_->Take(slot)) {
      return;
    }
    if (filling || random_.Below(4) == 0) Take(slot, size);
  } else if (random_.Below(8) == 0) {
    Resize(slot, size);
  } else if (!filling || random_.Below(4) == 0) {
    Give(slot);
  }
}

void Workload::Do(Round round) {
  constexpr size_t kKilo = 1024;
  const size_t large = IsMapped() ? 260 * kKilo : 20 * kKilo;
  const size_t spans = IsMapped() ? kMaxSpans : 3;
  const size_t batch = IsMapped() ? kBatch : kBatch / 4;
  switch (round) {
    case kSlabs:  // new ones, full ones, empty ones
      for (size_t i = 0; i < batch; ++i) Refresh(&batch_[i], kBatchSize);
      for (size_t i = 0; i < batch; ++i) Give(&batch_[i]);
      break;
    case kSpans:  // more free memory than may stay
      for (size_t i = 0; i < spans; ++i) Refresh(&spans_[i], large);
      for (size_t i = 0; i < spans; ++i) Give(&spans_[i]);
      break;
    case kResizes:  // the second is in the way, so the first is moved
      Refresh(&spans_[0], large);
      Refresh(&spans_[1], large);
      Resize(&spans_[0], large + large / 4);
      Resize(&spans_[0], 2 * large);
      Resize(&spans_[0], large + large / 2);
      Give(&spans_[0]);
      Give(&spans_[1]);
      break;
    case kTrim:
      Exposed([] { malloc_trim(0); });
      break;
    default:
      Exposed([] { return mallinfo2().arena; });
  }
}

void Workload::GiveSome() {
  for (int i = 0; i < 8; ++i) {
    Held* slot = &slots_[random_.Below(kSlots)];
    if (*slot) free(slot->LetGo());
  }
}

void Workload::GiveAll() {
  for (Held& slot : slots_) {
    if (slot) free(slot.LetGo());
  }
  for (Held& held : batch_) {
    if (held) free(held.LetGo());
  }
  for (Held& span : spans_) {
    if (span) free(span.LetGo());
  }
}

void Learn(Workload* workload) {
  LearnFastPaths();
  learning = true;
  for (int i = 0; i < 200; ++i) workload->Operate();
  workload->Do(Workload::kSlabs);
  learning = false;
}

}  // namespace abandon
