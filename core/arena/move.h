// Moves the pages of a large block to another run, without copying them.
//
// Pages that were moved stay a mapping of their own: the kernel remembers where
// they were first, and does not merge them with their neighbours. So at most
// kMostMoved runs have such pages at a time, at their beginning. When such a
// run is returned, new pages replace the moved ones (memory::Return). If such a
// run has grown in place, the part that it grew by is ordinary memory, and is
// copied when the run moves again. So each byte is copied at most once, unless
// a block of at most kMostCopied grows to more than kMostGrowth times its size.
//
// In the child of a fork the kernel merges no new pages with pages that are
// older than the fork. There each place that pages were moved to is one or two
// mappings for ever. So, in an arena with room for more than kMostMoved such
// places, a run counts for ever too.
//
// Who touches what: the caller owns both runs. Any thread and handler may call.
// The number of runs with moved pages is a hint.
//
// Interruption: an operation that stops at any point leaves both runs in use,
// and possibly one more mapping, which has the contents.
#ifndef AOMALLOC_CORE_ARENA_MOVE_H_
#define AOMALLOC_CORE_ARENA_MOVE_H_

#include <cstddef>

#include "core/arena/arena.h"
#include "core/arena/run.h"

namespace aomalloc::move {

// From this size on pages are moved, which is cheaper than copying. (In
// microseconds, on Zen 3 with nested paging: 27 instead of 183 for 256 KiB, 82
// instead of 3,470 for 4 MiB, 594 instead of 337,690 for 128 MiB. For 64 KiB it
// is 20 instead of 45, which is not worth a mapping.)
constexpr size_t kLeastBytes = size_t{256} << 10;

// Pages that were moved cost page faults later, both where they were and where
// they are, and copying costs most of its time in those of new memory. So from
// this size on only, pages are moved to memory that was used before.
constexpr size_t kLeastIntoUsed = size_t{2} << 20;

// All pages of such a run go when it is returned, and the next block there has
// to touch them again. So what grows more than this many times is copied: that
// costs little of what filling the new block does.
constexpr size_t kMostGrowth = 4;

// But a block of more than this is always moved: while it is copied, both
// copies are resident. (What it grew by in place since it was last moved is
// copied.)
constexpr size_t kMostCopied = size_t{8} << 20;

// With the runs between them, which are mappings too, these take a quarter of
// the mappings that a process may have.
constexpr size_t kMostMoved = 8192;

// Moves the first `bytes` of `from` to `to`, whose units hold `to_bytes`.
enum class Outcome {
  kMoved,    // these bytes of `from` and the rest of `to` read as zero
  kRefused,  // `from` and `to` are as they were
  kSoiled,   // `from` is as it was; `to` has any contents
  kLost,     // `from` is as it was; `to` must stay in use, and not be touched
};
Outcome Pages(Run* from, size_t bytes, Run* to, size_t to_bytes);

// To be called when a run with moved pages is returned. `renewed`: new pages
// have replaced them. If not, the run counts for ever.
void Forget(Run* run, const Arena* arena, bool renewed);

// From now on Pages refuses.
void GiveUp();

// To be called in the child of a fork.
void InForkChild();

// Copies `bytes`, page by page. If the destination is zero, leaves out pages
// that are zero, so that the destination takes no memory for them.
void Copy(const char* from, char* to, size_t bytes, bool to_is_zero);

}  // namespace aomalloc::move

#endif  // AOMALLOC_CORE_ARENA_MOVE_H_
