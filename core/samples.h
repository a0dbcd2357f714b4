// Samples for the profile: which allocations are sampled, and what happens to
// the samples later.
//
// A sampled block is a span of its own, whatever its size. So its free takes
// the slow path, and its descriptor has room to say where the sample was
// counted (profile.h has the protocol).
#ifndef AOMALLOC_CORE_SAMPLES_H_
#define AOMALLOC_CORE_SAMPLES_H_

#include "core/arena/run.h"
#include "core/base/hardening.h"
#include "core/base/likely.h"
#include "core/heap/heap.h"
#include "core/profile/profile.h"

namespace aomalloc::samples {

// If a sample is due: a block of this class, of which the sample was taken.
// Null if none is due, or if there is no memory for it. Then the block has to
// come from elsewhere. The caller has claimed `heap`.
Block* TakeIfDue(Heap* heap, SizeClass size_class);

// OnAllocate is to be called when a span was allocated for a request of `bytes`
// bytes, OnFree when it is freed, and OnResize when its size has changed, which
// counts as both. NoteSpan takes a sample of a new span if one is due.
void NoteSpan(Run* span, size_t bytes);
inline void OnAllocate(Run* span, size_t bytes) {
  if (Unlikely(profile::IsOn())) NoteSpan(span, bytes);
}
inline void OnFree(Run* span) { profile::Forget(span); }
inline void OnResize(Run* span, size_t bytes) {
  OnFree(span);
  OnAllocate(span, bytes);
}

// True if a block is a span only because it is sampled. The size of the block
// is `sample_bytes`.
inline bool IsSmall(const Run* span) {
  return span->sample != 0 &&
         span->sample_bytes <= kMaxSmall - hardening::kCanaryBytes;
}

}  // namespace aomalloc::samples

#endif  // AOMALLOC_CORE_SAMPLES_H_
