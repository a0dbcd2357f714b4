// Samples for the profile, where malloc and free come by: which allocations are
// sampled, and what becomes of them.
//
// A sampled block is a span of its own, whatever its size. So its free comes to
// the slow path by itself, and its descriptor has room to say where the sample
// was counted.
#ifndef AOMALLOC_CORE_SAMPLING_H_
#define AOMALLOC_CORE_SAMPLING_H_

#include "core/hardening.h"
#include "core/heap.h"
#include "core/likely.h"
#include "core/profile.h"
#include "core/run.h"

namespace aomalloc::sampling {

// A block of this class to take a sample of, if one is due. Null if not, and if
// there is no memory for it; then it is to be had otherwise. `heap` is claimed.
Block* TakeIfDue(Heap* heap, SizeClass size_class);

// To be told of a span that was allocated or freed; and of one whose size has
// changed, which counts as both.
void NoteSpan(Run* span, size_t bytes);
inline void OnAllocate(Run* span, size_t bytes) {
  if (Unlikely(profile::IsOn())) NoteSpan(span, bytes);
}
inline void OnFree(Run* span) { profile::Forget(span); }
inline void OnResize(Run* span, size_t bytes) {
  OnFree(span);
  OnAllocate(span, bytes);
}

// True if a span is there only because it is sampled: it is a block of
// `sample_bytes`.
inline bool IsSmall(const Run* span) {
  return span->sample != 0 &&
         span->sample_bytes <= kMaxSmall - hardening::kCanaryBytes;
}

}  // namespace aomalloc::sampling

#endif  // AOMALLOC_CORE_SAMPLING_H_
