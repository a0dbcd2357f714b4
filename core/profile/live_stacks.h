// The stacks that have most of what is live, estimated from the samples, as
// pprof and jeprof do.
//
// Signal-safe: any thread and handler may call this at any time, and it takes
// no memory. It only reads the counts of the profile. Other threads change them
// meanwhile, so sums may be off by that.
#ifndef AOMALLOC_CORE_PROFILE_LIVE_STACKS_H_
#define AOMALLOC_CORE_PROFILE_LIVE_STACKS_H_

#include <cstddef>
#include <cstdint>

#include "core/profile/profile.h"

namespace aomalloc::profile {

// What is estimated to be live.
struct Live {
  size_t bytes = 0;
  size_t blocks = 0;
  size_t samples = 0;  // from which that was estimated
};

// The estimate for one stack. A block of b bytes is sampled with probability
// 1 - exp(-b / mean), so each sample stands for the inverse of that many.
Live LiveOf(const Counts& counts, size_t mean);

struct LiveStack {
  const uintptr_t* addresses = nullptr;  // see Stack
  size_t depth = 0;
  Live live;
};

struct LiveStacks {
  static constexpr size_t kMost = 10;
  LiveStack largest[kMost];  // the most bytes first
  size_t count = 0;          // how many of them there are
  size_t stacks = 0;         // that have something live
  Live total;                // of all stacks
};

// Only with a profile.
LiveStacks FindLiveStacks();

}  // namespace aomalloc::profile

#endif  // AOMALLOC_CORE_PROFILE_LIVE_STACKS_H_
