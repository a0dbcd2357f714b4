// When free memory is given back to the system.
//
// A little of it stays, and some in proportion to what is in use. What is
// beyond goes after a tenth of a second, when next somebody returns memory:
// what was just freed is likely wanted again. But nobody may come, if the
// program goes silent; there is no thread of ours to do it. So what is far
// beyond goes at once, as it is freed. How far is learnt: little at first, then
// twice what was purged so, when the program takes memory again soon after.
// That is forgotten a second after the last purge that was regretted.
//
// Any thread and handler may call anything here. The words are hints: two
// threads at once may purge, or learn, once too often.
#ifndef AOMALLOC_CORE_PURGE_H_
#define AOMALLOC_CORE_PURGE_H_

#include "core/arena.h"
#include "core/likely.h"

namespace aomalloc::purge {

// When something is to be purged, in os::CoarseMilliseconds; 0: nothing is.
extern AtomicWord due_ms __attribute__((visibility("hidden")));

// When memory was last purged, as long as it is not known whether that will be
// regretted; else 0.
extern AtomicWord purged_ms __attribute__((visibility("hidden")));

// To be called when memory of a mapped arena was returned.
void IfDue(Arena* arena);

// From now on, up to so many bytes stay free and dirty, and what is beyond goes
// at once.
void Allow(size_t bytes);

// True if more than so many bytes are never kept, whatever was learnt: a run of
// them may as well be purged in one go, by who returns it.
bool IsTooMuch(const Arena* arena, size_t bytes);

// Whether IfDue may have something to do where no memory was returned.
inline bool IsPending() { return LoadRelaxed(&due_ms) != 0; }

// To be called when memory is taken that has to come from the system.
void Regret();
inline void TookFresh() {
  if (Unlikely(LoadRelaxed(&purged_ms) != 0)) Regret();
}

}  // namespace aomalloc::purge

#endif  // AOMALLOC_CORE_PURGE_H_
