#include "core/samples.h"

#include "core/arena/memory.h"
#include "core/arena/tails.h"
#include "core/hardened_spans.h"
#include "core/heap/slab.h"
#include "core/report/statistics.h"
#include "core/thread/thread.h"

namespace aomalloc::samples {

Block* TakeIfDue(Heap* heap, SizeClass size_class) {
  Sampler* sampler = heap->sampler();
  if (sampler == nullptr || !sampler->IsDue(size_class)) return nullptr;
  const size_t size = ClassSize(size_class) - hardening::kCanaryBytes;
  Run* run = heap->runs(/*mapped=*/true).Take(1);
  if (run != nullptr) {
    tails::Forget(run);
  } else {
    run = memory::Take({size, size, 1}).run;
    statistics::NoteGrowth();
  }
  if (run == nullptr) return nullptr;
  run->kind = RunKind::kSpan;
  slab::BreakSeal(run);
  tails::SetUpWhole(run);
  hardened_spans::SetUp(run, memory::BytesOf(run));
  profile::Record(run, size, sampler->scratch());
  return reinterpret_cast<Block*>(run->base);
}

void NoteSpan(Run* span, size_t bytes) {
  const ClaimFrame frame;
  Heap* heap = thread::ClaimHeap(frame);
  if (heap == nullptr) return;
  Sampler* sampler = heap->sampler();
  if (sampler != nullptr && sampler->IsSpanDue(bytes)) {
    profile::Record(span, bytes, sampler->scratch());
  }
  thread::Unclaim(heap, frame);
}

}  // namespace aomalloc::samples
