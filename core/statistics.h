// Statistics: what the heap consists of.
//
// Nothing is kept for them on the fast paths; they are counted when somebody
// asks, from the descriptors of the arenas and the heaps of the registry. What
// is counted as it happens (the most memory in use, purges, remote frees,
// nested entries) is counted where a system call or a compare-and-swap is near.
//
// Who touches what: anybody counts, at any time, in a handler too; nothing is
// written and nothing waited for. Other threads move on meanwhile, so what is
// read is bounded by what can be (Glance): descriptors and heaps are
// type-stable, no block is looked into, and a count is never more than fits.
// The figures are exact when nobody else is in an operation, and right about
// what rests otherwise.
#ifndef AOMALLOC_CORE_STATISTICS_H_
#define AOMALLOC_CORE_STATISTICS_H_

#include <cstddef>

#include "core/arena.h"
#include "core/atomics.h"
#include "core/likely.h"
#include "core/run.h"
#include "core/size_class.h"

namespace aomalloc {

// In bytes, unless it says otherwise.
struct Statistics {
  // Of the memory that was had from the system:
  size_t reserved = 0;     // address space of all arenas
  size_t accessible = 0;   // what of it was made accessible
  size_t used = 0;         // runs: slabs, spans, kept ones, heaps
  size_t peak_used = 0;    // the most there was of these, in each arena
  size_t descriptors = 0;  // of the units that are accessible

  // Of the runs:
  size_t slabs = 0;  // a number
  size_t slab_bytes = 0;
  size_t spans = 0;  // a number
  size_t span_bytes = 0;
  size_t kept = 0;  // kept by heaps for later, or being handed over
  size_t own = 0;   // heaps

  // Of the slabs:
  size_t blocks = 0;  // a number: those in use
  size_t block_bytes = 0;
  size_t away = 0;  // in use, but freed: kept by, or on their way to, a heap
  size_t free_blocks = 0;  // a number
  size_t free_block_bytes = 0;
  size_t uncarved = 0;  // never used
  size_t tails = 0;     // behind the last block

  // Of the free units:
  size_t free_dirty = 0;  // to be purged
  size_t free_clean = 0;  // purged, or never used

  size_t heaps = 0;       // numbers, from here on
  size_t held_heaps = 0;  // held by a thread
  size_t remote_frees = 0;
  size_t remote_bytes = 0;  // of these
  size_t nested_entries = 0;
  size_t purges = 0;
  size_t purged = 0;     // bytes
  size_t peak_live = 0;  // bytes; 0 if it was not watched

  size_t live() const {
    const size_t in_use = block_bytes + span_bytes;
    return away < in_use ? in_use - away : 0;
  }
};

Statistics Count();

// The memory behind blocks and descriptors. False when the system does not
// tell, and in the static mode, where it is not asked.
bool ResidentBytes(size_t* resident);

// The slabs of one size class; numbers all.
struct ClassStatistics {
  size_t slabs = 0;
  size_t capacity = 0;  // blocks that fit
  size_t carved = 0;    // of them, how many were ever used
  size_t blocks = 0;    // of them, how many are in use
  size_t remote_frees = 0;
};

// Some classes at a time: a handler's stack is small.
constexpr int kClassesAtATime = 4;
static_assert(kNumClasses % kClassesAtATime == 0);

// Counts classes `first` to `first + kClassesAtATime - 1`.
void CountClasses(int first, ClassStatistics (*classes)[kClassesAtATime]);

// A run of an arena, or a free unit, at one moment.
struct RunView {
  size_t units = 1;  // at least 1, and not beyond the accessible ones
  bool in_use = false;
  bool dirty = false;  // of free units: can be purged
  RunKind kind = RunKind::kFree;
  int size_class = 0;  // of slabs: a class that there is
  size_t capacity = 0;
  size_t carved = 0;  // at most `capacity`
  size_t blocks = 0;  // at most `carved`
  size_t remote_frees = 0;
};

// The run that begins at `unit`, which is accessible. The next one begins
// `units` further on.
RunView ViewRun(const Arena* arena, size_t unit);

// Calls `visit(unit, run)` for all runs and free units of an arena.
template <typename Visit>
void ForEachRun(const Arena* arena, Visit visit) {
  const size_t end = arena->committed_units();
  RunView run;
  for (size_t unit = 0; unit < end; unit += run.units) {
    run = ViewRun(arena, unit);
    visit(unit, run);
  }
}

namespace statistics {

extern AtomicWord watching __attribute__((visibility("hidden")));

// From now on, the most that was live is looked for: blocks are counted each
// time that memory in use has grown by a 64th beyond its peak.
inline void Watch() { StoreRelaxed(&watching, 1); }

// To be told when memory in use may have grown.
void NotePeak();
inline void NoteGrowth() {
  if (Unlikely(LoadRelaxed(&watching) != 0)) NotePeak();
}

}  // namespace statistics
}  // namespace aomalloc

#endif  // AOMALLOC_CORE_STATISTICS_H_
