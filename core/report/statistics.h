// Statistics: what the heap consists of.
//
// The fast paths count nothing. The statistics are counted when a report asks
// for them, from the descriptors of the arenas and the heaps of the registry.
// Some events are counted as they happen (the most memory in use, purges,
// remote frees, nested entries), next to a system call or a compare-and-swap.
//
// Who touches what: any thread and handler may count at any time. It writes
// nothing of the heap (only the peaks below), and waits for nothing. Other
// threads change the heap meanwhile. So values are read once (Glance), and
// limited to what is possible: descriptors and heaps are type-stable, blocks
// are not read, and no count exceeds what fits. The figures are exact if no
// other operation runs. Otherwise they are exact for the parts that do not
// change.
//
// Interruption: the peaks are hints. If NotePeak stops, one peak is not
// counted.
#ifndef AOMALLOC_CORE_REPORT_STATISTICS_H_
#define AOMALLOC_CORE_REPORT_STATISTICS_H_

#include <cstddef>

#include "core/arena/arena.h"
#include "core/arena/run.h"
#include "core/base/atomics.h"
#include "core/base/likely.h"
#include "core/base/size_class.h"

namespace aomalloc {

// In bytes, unless the comment says otherwise.
struct Statistics {
  // The arenas:
  size_t reserved = 0;     // address space of all arenas
  size_t accessible = 0;   // the accessible part of it
  size_t huge = 0;         // the part that huge pages were asked for
  size_t used = 0;         // runs: slabs, spans, kept runs, heaps
  size_t peak_used = 0;    // the sum of the most that each arena had in use
  size_t descriptors = 0;  // of the accessible units

  // The runs:
  size_t slabs = 0;  // a number
  size_t slab_bytes = 0;
  size_t spans = 0;       // a number
  size_t span_bytes = 0;  // those that may be used
  size_t span_tails = 0;  // behind these, in the runs of the spans
  size_t kept = 0;        // kept by heaps, or just being taken or returned
  size_t own = 0;         // heaps

  // The slabs:
  size_t blocks = 0;  // a number: blocks that count as in use
  size_t block_bytes = 0;
  size_t away = 0;  // of these, freed or in a ration: at a heap or on the way
  size_t free_blocks = 0;  // a number
  size_t free_block_bytes = 0;
  size_t left_out = 0;  // free blocks too, but their memory was given back
  size_t uncarved = 0;  // blocks that were never used
  size_t tails = 0;     // behind the last block of each slab

  // The free units:
  size_t free_dirty = 0;  // can be purged
  size_t free_clean = 0;  // purged, or never used

  // Numbers, unless the comment says otherwise:
  size_t heaps = 0;
  size_t held_heaps = 0;  // held by a thread
  size_t remote_frees = 0;
  size_t remote_bytes = 0;  // bytes of the blocks freed so
  size_t nested_entries = 0;
  size_t purges = 0;
  size_t purged = 0;     // bytes
  size_t peak_live = 0;  // bytes; 0 without Watch

  size_t live() const {
    const size_t in_use = block_bytes + span_bytes;
    return away < in_use ? in_use - away : 0;
  }
};

Statistics Count();

// Sets `*resident` to the bytes of blocks and descriptors that have memory
// behind them. False if the system refuses to answer. False without mmap too,
// because the static heap makes no system call.
bool ResidentBytes(size_t* resident);

// The slabs of one size class. All are numbers.
struct ClassStatistics {
  size_t slabs = 0;
  size_t capacity = 0;  // blocks that fit
  size_t carved = 0;    // blocks that have ever been on a free list
  size_t blocks = 0;    // blocks in use
  size_t remote_frees = 0;
};

// Classes are counted a few at a time, because a handler's stack is small.
constexpr int kClassesAtATime = 4;
static_assert(kNumClasses % kClassesAtATime == 0);

// Counts classes `first` to `first + kClassesAtATime - 1`.
void CountClasses(int first, ClassStatistics (*classes)[kClassesAtATime]);

// A run of an arena, or a free unit, at one moment.
struct RunView {
  size_t units = 1;  // at least 1, and not beyond the accessible ones
  bool in_use = false;
  bool dirty = false;  // of a free unit: it can be purged
  RunKind kind = RunKind::kFree;
  int size_class = 0;  // less than kNumClasses; this and the next: of a slab
  size_t capacity = 0;
  size_t carved = 0;    // at most `capacity`
  size_t blocks = 0;    // at most `carved`
  size_t left_out = 0;  // blocks; at most what is left of `carved`
  size_t remote_frees = 0;
  size_t span_bytes = 0;  // of a span: those that may be used
};

// The run that begins at `unit`, which is accessible, or the free unit. The
// next one begins `units` units later.
RunView ViewRun(const Arena* arena, size_t unit);

// Calls `visit(unit, run)` for all runs and free units of an arena.
template <typename Visit>
void ForEachRun(const Arena* arena, Visit visit) {
  const size_t end = arena->end();
  RunView run;
  for (size_t unit = 0; unit < end; unit += run.units) {
    run = ViewRun(arena, unit);
    visit(unit, run);
  }
}

namespace statistics {

extern AtomicWord watching __attribute__((visibility("hidden")));

// From now on the peak of live memory is recorded: the heap is counted each
// time that memory in use has grown by one part in 64, and a unit, since the
// last count.
inline void Watch() { StoreRelaxed(&watching, 1); }

// NoteGrowth is to be called when memory in use may have grown.
void NotePeak();
inline void NoteGrowth() {
  if (Unlikely(LoadRelaxed(&watching) != 0)) NotePeak();
}

}  // namespace statistics
}  // namespace aomalloc

#endif  // AOMALLOC_CORE_REPORT_STATISTICS_H_
