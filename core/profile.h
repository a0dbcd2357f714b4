// The heap profile: which calls allocated what, and how much of it lives still.
//
// It is an estimate, from samples. Each byte that is allocated is, by itself
// and with the same small chance, the occasion to take a sample of its block:
// to walk the stack and count the block there (sampler.h says how the fast
// paths get by without knowing). A stack has an entry with its counts for ever;
// so entries are found, added and counted without a lock, and read at any time.
//
// Who touches what: anybody may call anything, at any time. An entry is written
// before it is published by a compare-and-swap on its list, from where it never
// goes away; afterwards only its counts change.
//
// Interruption: Take and Find commit with a compare-and-swap; stopped before
// the latter, the memory of one entry is lost. A sample whose operation is
// abandoned may be counted as live for good, as its block is lost; or not at
// all.
#ifndef AOMALLOC_CORE_PROFILE_H_
#define AOMALLOC_CORE_PROFILE_H_

#include <cstddef>
#include <cstdint>

#include "core/atomics.h"
#include "core/output.h"
#include "core/run.h"

namespace aomalloc::profile {

// Return addresses that are noted of a stack; those of its outermost calls are
// left out.
constexpr size_t kMaxDepth = 100;

// Mean bytes from one sample to the next; 0 while there is no profile.
extern AtomicWord mean_bytes __attribute__((visibility("hidden")));
inline bool IsOn() { return LoadRelaxed(&mean_bytes) != 0; }

// Starts it. `code` is in the object whose own calls are of no interest, or
// null. To be called once, before there are threads. Null, or the reason why it
// cannot be had.
const char* Start(size_t mean, const void* code);

// Memory that is never given back; it reads as zero, aligned to 16. Null if
// there is none left.
void* TakeMemory(size_t bytes);

// Takes a sample of a span, which is a block of `bytes` that was just allocated
// on this stack; `scratch` is the caller's.
void Record(Run* span, size_t bytes, uintptr_t (*scratch)[kMaxDepth]);

// The block is freed. Nothing if no sample was taken of it.
void ForgetSample(Run* span);
inline void Forget(Run* span) {
  if (span->sample != 0) ForgetSample(span);
}

struct Counts {
  size_t allocated = 0;  // blocks
  size_t allocated_bytes = 0;
  size_t freed = 0;
  size_t freed_bytes = 0;
};

// What all samples add up to; and how many were not taken, as there was no
// memory to note their stacks.
Counts Total();
size_t Missed();

// Writes the profile in the text format of gperftools, which pprof and jeprof
// read. They do the sums that make an estimate of the samples.
void Write(Output* out);

}  // namespace aomalloc::profile

#endif  // AOMALLOC_CORE_PROFILE_H_
