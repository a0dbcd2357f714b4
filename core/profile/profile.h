// The heap profile: which calls allocated how much, and how much of it is live.
//
// It is an estimate from samples. Each allocated byte has the same small
// probability, independent of all others, to cause a sample of its block. A
// sample walks the stack and counts the block there. (sampler.h says why the
// fast paths need no code for it.) Each stack has an entry with its counts,
// which never goes away. So threads find, add, count and read entries without a
// lock.
//
// Who touches what: any thread and handler may call anything at any time,
// except Start. An entry is written before it is published. Afterwards only its
// counts change.
//
// Commit: TakeMemory commits with its compare-and-swap. An entry is published
// by the compare-and-swap on its list.
//
// Interruption: if an operation stops between these two, or another thread adds
// an entry for the same stack in between, the memory of one entry is lost. If
// the operation that takes a sample is abandoned, its block is lost, and the
// sample is counted as live for ever, in part, or not at all. If the operation
// that frees a sampled block is abandoned, the same holds.
#ifndef AOMALLOC_CORE_PROFILE_PROFILE_H_
#define AOMALLOC_CORE_PROFILE_PROFILE_H_

#include <cstddef>
#include <cstdint>

#include "core/arena/run.h"
#include "core/base/atomics.h"
#include "core/base/output.h"

namespace aomalloc::profile {

// The most return addresses that an entry has. Those of the outermost calls are
// left out.
constexpr size_t kMaxDepth = 100;

// The mean number of bytes from one sample to the next; 0 if there is no
// profile.
extern AtomicWord mean_bytes __attribute__((visibility("hidden")));
inline bool IsOn() { return LoadRelaxed(&mean_bytes) != 0; }

// Starts the profile. `code` is an address in the object whose own calls are
// left out (this library), or null. Returns null, or the reason why there can
// be no profile. To be called once, before there are threads.
const char* Start(size_t mean, const void* code);

// Memory that is never given back. It reads as zero and is aligned to 16. Null
// if none is left. Only after Start.
void* TakeMemory(size_t bytes);

// Takes a sample of a span, which is a block of `bytes` that the calling stack
// has just allocated. `scratch` belongs to the caller; Record overwrites it.
void Record(Run* span, size_t bytes, uintptr_t (*scratch)[kMaxDepth]);

// To be called when a span is freed. Does nothing if it was not sampled.
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

// A stack where something was sampled: return addresses, innermost first. They
// stay where they are.
struct Stack {
  const uintptr_t* addresses;
  size_t depth;
  Counts counts;
};

// Calls `visit(context, stack)` for each stack. Those that others add meanwhile
// may be left out.
void ForEach(void (*visit)(void* context, const Stack& stack), void* context);

// The sum of all samples, and the number of samples that were left out because
// there was no memory for their stacks.
Counts Total();
size_t Missed();

// Writes the profile in the text format of gperftools, which pprof and jeprof
// read. These tools compute the estimate from the samples.
void Write(Output* out);

}  // namespace aomalloc::profile

#endif  // AOMALLOC_CORE_PROFILE_PROFILE_H_
