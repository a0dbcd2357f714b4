// Samplers: when a heap is to take the next sample for the profile.
//
// The fast paths know nothing of it. Where there is a profile, malloc pops from
// a list of the sampler's, which is given as many free blocks of a slab as may
// be allocated before the next sample: a ration. So malloc comes to the slow
// path when the sample is due, having counted nothing; blocks that are freed go
// to their slabs and do not lengthen the ration.
//
// Each class has a distance of its own to its next sample, and spans have one.
// As each byte is the occasion with the same chance, whatever came before it
// (the distances are distributed exponentially), it makes no difference how
// bytes are distributed among distances.
//
// A block of a ration is in use as far as its slab is concerned, like the kept
// blocks of other heaps (foreign.h), which make rations, too.
//
// Who touches what: as with all of a heap, the operation that holds its claim,
// by plain loads and stores.
//
// Interruption: Ration takes blocks off one list and then puts them on another;
// abandoned in between, it loses them, blocks of one slab. Distances are hints.
#ifndef AOMALLOC_CORE_SAMPLER_H_
#define AOMALLOC_CORE_SAMPLER_H_

#include <cstddef>
#include <cstdint>

#include "core/profile.h"
#include "core/run.h"
#include "core/size_class.h"

namespace aomalloc {

class Sampler {
 public:
  explicit Sampler(uint64_t seed);

  // What malloc pops from.
  FreeList* ration(int size_class) { return &rations_[size_class]; }

  // Makes a ration of blocks of `list`, which has at most `count`, and takes
  // the first; null if there is none. There is nothing left of the one before.
  Block* Ration(SizeClass size_class, FreeList* list, int32_t count);

  // True if so many blocks make a short ration.
  static bool IsShort(int32_t count) { return count < kRationBlocks; }

  // Takes a block of a ration back, which is as if it had not been given; null
  // if nothing is left of it.
  Block* TakeBack(SizeClass size_class);

  // Whether the next block of this class, or a span of so many bytes, is one to
  // take a sample of. If so it is the last that this is said of for a while.
  bool IsDue(SizeClass size_class);
  bool IsSpanDue(size_t bytes);

  // For a stack that is being walked.
  uintptr_t (*scratch())[profile::kMaxDepth] { return &scratch_; }

  // For reports, at any time: bytes in rations.
  size_t Bytes() const;

  // What is cut off a list that has more than twice as much. Few enough blocks
  // to stay in a cache, where malloc uses the same again and again; but most
  // lists are taken whole, as it takes time to follow one to where it is cut.
  static constexpr size_t kRationBytes = 8192;
  static constexpr int32_t kRationBlocks = 32;

 private:
  size_t Distance();

  FreeList rations_[kNumClasses] = {};
  uint32_t left_[kNumClasses] = {};  // blocks to give before the sample
  size_t span_bytes_left_ = 0;
  uint64_t random_;
  uintptr_t scratch_[profile::kMaxDepth];
};

namespace sampler {

// Minus the natural logarithm of (x + 1) / 2^32, times `mean`: distributed
// exponentially if `x` is uniformly.
size_t Exponential(uint32_t x, size_t mean);

}  // namespace sampler
}  // namespace aomalloc

#endif  // AOMALLOC_CORE_SAMPLER_H_
