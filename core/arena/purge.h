// When free memory is given back to the system.
//
// Some free memory always stays: a fixed amount, and a share of what is in use.
// What exceeds that is purged when memory is next returned after a tenth of a
// second, because memory that was just freed is likely to be wanted again. But
// the program may go silent and return none, and this library has no thread of
// its own. So what exceeds it by more than a threshold is purged at once.
//
// The threshold adapts. If the program takes fresh memory within a tenth of a
// second after a purge, that purge is regretted. If memory was purged at once,
// the threshold then becomes twice its value, or twice what was purged at once
// if that is more; but one regret makes it no more than 64 MiB, unless it was
// that much before. One second after the last regret it falls back.
//
// After a peak, when more was purged at once than is in use, less may stay,
// until fresh memory is taken.
//
// While purges are regretted, a second and not a tenth goes by before the next.
//
// Huge pages of which some units are in use are broken to be purged, and stay
// broken for long. So some MiB, or as much as the threshold, stay free in them,
// until a purge is due more than a second after one that left them.
//
// Addresses of free memory go back as soon as it is purged, as far as an arena
// has more than twice as many as are in use, and 16 MiB. In a process that has
// met its limit (RLIMIT_AS, say) other mappings may lack them: from then on, a
// 16th of what is in use and 4 MiB stay, and the threshold is its least while
// the arena has more than half as many as when it met the limit. That ends when
// it has an eighth more than it was refused: the limit is another one by now.
//
// Who touches what: any thread and handler may call anything here at any time.
// All words are hints, and nothing depends on their order. Two threads at once,
// or a thread that stops, may cause one purge or one change of the threshold
// too many or too few.
#ifndef AOMALLOC_CORE_ARENA_PURGE_H_
#define AOMALLOC_CORE_ARENA_PURGE_H_

#include "core/arena/arena.h"
#include "core/base/likely.h"

namespace aomalloc::purge {

// When the next purge is due, in os::CoarseMilliseconds; 0 if none is.
extern AtomicWord due_ms __attribute__((visibility("hidden")));

// When IfDue last purged memory, in os::CoarseMilliseconds; 0 if it did not
// since the last call of Regret.
extern AtomicWord purged_ms __attribute__((visibility("hidden")));

// Purges what is due, and gives addresses back. To be called when `units` units
// of a mapped arena were returned.
void IfDue(Arena* arena, size_t units);

// Gives addresses back, if there are too many, wherever they are.
void Addresses(Arena* arena);

// To be called when the system has refused memory for a run that is larger than
// a chunk. If the process has met its limit, purges all free memory, and gives
// all free chunks back. True if there were some: the run may get their
// addresses elsewhere.
bool MakeRoom(Arena* arena);

// From now on up to `bytes` of each arena stay free and dirty, and what exceeds
// them is purged at once. The rules above do not hold any more.
void Allow(size_t bytes);

// True if Allow was called: the user says what may stay.
bool IsTold();

// True if a run of `bytes` is more than may stay free and dirty, be it that 64
// MiB are learnt to be wanted again. Then the operation that returns the run
// purges it in one call.
bool IsTooMuch(const Arena* arena, size_t bytes);

// True if a purge is due now or later. Then IfDue is worth a call even where no
// memory was returned.
inline bool IsPending() { return LoadRelaxed(&due_ms) != 0; }

// True if IfDue purged memory, and none was taken since that the system has to
// provide.
inline bool HasPurged() { return LoadRelaxed(&purged_ms) != 0; }

// TookFresh is to be called when memory is taken that the system has to
// provide. It calls Regret after a purge.
void Regret();
inline void TookFresh() {
  if (Unlikely(HasPurged())) Regret();
}

}  // namespace aomalloc::purge

#endif  // AOMALLOC_CORE_ARENA_PURGE_H_
