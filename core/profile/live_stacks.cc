#include "core/profile/live_stacks.h"

namespace aomalloc::profile {
namespace {

// 1 - exp(-x), for x of 0 or more.
double OneMinusExp(double x) {
  constexpr double kNearlyOne = 40;  // 1 - exp(-40) differs by less than 1e-17
  constexpr int kDoublings = 10;
  if (x > kNearlyOne) return 1;
  // A series where it converges fast, and from there by doubling the argument.
  const double part = x / (1 << kDoublings);
  double result = part * (1 - part / 2 * (1 - part / 3));
  for (int i = 0; i < kDoublings; ++i) result *= 2 - result;
  return result;
}

void Add(LiveStacks* found, const LiveStack& stack) {
  ++found->stacks;
  found->total.bytes += stack.live.bytes;
  found->total.blocks += stack.live.blocks;
  found->total.samples += stack.live.samples;
  size_t at = found->count;
  while (at > 0 && found->largest[at - 1].live.bytes < stack.live.bytes) --at;
  if (at == LiveStacks::kMost) return;
  if (found->count < LiveStacks::kMost) ++found->count;
  for (size_t i = found->count - 1; i > at; --i) {
    found->largest[i] = found->largest[i - 1];
  }
  found->largest[at] = stack;
}

}  // namespace

Live LiveOf(const Counts& counts, size_t mean) {
  Live live;
  if (counts.allocated <= counts.freed ||
      counts.allocated_bytes <= counts.freed_bytes) {
    return live;
  }
  live.samples = counts.allocated - counts.freed;
  const auto samples = static_cast<double>(live.samples);
  const auto bytes =
      static_cast<double>(counts.allocated_bytes - counts.freed_bytes);
  const double sampled =
      OneMinusExp(bytes / samples / static_cast<double>(mean));
  live.bytes = static_cast<size_t>(bytes / sampled);
  const double blocks = samples / sampled;
  live.blocks = static_cast<size_t>(blocks);
  if (blocks - static_cast<double>(live.blocks) >= 0.5) ++live.blocks;
  return live;
}

LiveStacks FindLiveStacks() {
  LiveStacks found;
  ForEach(
      [](void* context, const Stack& stack) {
        const Live live = LiveOf(stack.counts, LoadRelaxed(&mean_bytes));
        if (live.samples == 0) return;
        Add(static_cast<LiveStacks*>(context),
            {stack.addresses, stack.depth, live});
      },
      &found);
  return found;
}

}  // namespace aomalloc::profile
