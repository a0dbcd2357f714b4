// Samplers: when a heap takes the next sample for the profile.
//
// The fast paths do not know of samples. While there is a profile, malloc pops
// from a list of the sampler: a ration. A ration has at most as many free
// blocks of a class as may be allocated before the next sample. So malloc gets
// to the slow path when the sample is due, and need not count. Blocks that are
// freed go to their slabs and do not lengthen the ration.
//
// Each class has its own distance to its next sample, in bytes; all spans
// together have another. The distances are distributed exponentially. So each
// byte has the same chance of being the occasion for a sample, whatever came
// before it, and it does not matter how the bytes are distributed among the
// distances.
//
// In its slab a block of a ration counts as in use. This is also true of the
// kept blocks of other heaps (foreign.h), and rations are made of those too.
// Each bears a witness, so that it counts as free though its slab's list does
// not have it (slab.h).
//
// Who touches what: the operation that holds the heap's claim, by plain loads
// and stores. Reports read the counts at any time (Glance).
//
// Commit: Ration takes blocks off a list by one store, and then puts them on
// the ration by another.
//
// Interruption: abandoned between the two stores, Ration loses these blocks: at
// most 2 * kRationBlocks blocks or 2 * kRationBytes, whichever is more. They
// count as in use for ever. Distances are hints.
#ifndef AOMALLOC_CORE_HEAP_SAMPLER_H_
#define AOMALLOC_CORE_HEAP_SAMPLER_H_

#include <cstddef>
#include <cstdint>

#include "core/arena/run.h"
#include "core/base/size_class.h"
#include "core/profile/profile.h"

namespace aomalloc {

class Sampler {
 public:
  explicit Sampler(uint64_t seed);

  // The list that malloc pops from.
  FreeList* ration(int size_class) { return &rations_[size_class]; }

  // Makes a ration of the first blocks of `list`, which has at most `count`
  // blocks, and pops the first one. Null if `list` is empty. To be called when
  // nothing is left of the ration before.
  Block* Ration(SizeClass size_class, FreeList* list, int32_t count);

  // True if a ration of `count` blocks would be short.
  static bool IsShort(int32_t count) { return count < kRationBlocks; }

  // Takes a block out of a ration, as if it had never been in it. Null if
  // nothing is left of the ration.
  Block* TakeBack(SizeClass size_class);

  // True if the next block of this class is to be sampled. Then the next
  // distance begins, and the answer is false until it is used up.
  bool IsDue(SizeClass size_class);
  // The same for a span of `bytes` bytes, which this counts.
  bool IsSpanDue(size_t bytes);

  // Room for the addresses of a stack that is being walked.
  uintptr_t (*scratch())[profile::kMaxDepth] { return &scratch_; }

  // For reports, at any time: the bytes of blocks in rations.
  size_t Bytes() const;

  // The size of a ration that is cut off a list: as many blocks as have
  // kRationBytes, but kRationBlocks at least. These are few enough to stay in a
  // cache while malloc uses the same blocks again and again. A list that has at
  // most twice as many is taken whole, because it takes time to follow a list
  // to where it is cut.
  static constexpr size_t kRationBytes = 8192;
  static constexpr int32_t kRationBlocks = 32;

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  size_t Distance();

  FreeList rations_[kNumClasses] = {};
  uint32_t left_[kNumClasses] = {};  // blocks to the sample
  size_t span_bytes_left_ = 0;
  uint64_t random_;
  uintptr_t scratch_[profile::kMaxDepth];
};

namespace sampler {

// Minus the natural logarithm of (x + 1) / 2^32, times `mean`. If `x` is
// distributed uniformly, the result is distributed exponentially.
size_t Exponential(uint32_t x, size_t mean);

}  // namespace sampler
}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_SAMPLER_H_
