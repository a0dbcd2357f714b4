// Guards of the hardened build: inaccessible pages behind a run, or in place of
// a freed one.
//
// A guard is a mapping of its own while fewer than kMostMappings runs have such
// guards: a process may have some 65,530 mappings, and needs others too.
// Further guards are guards inside a mapping, where the system has them
// (Linux 6.13, and not for locked memory). These do not show in
// /proc/self/maps. A program that reads the memory of another process, for
// example a debugger that writes a core dump, stops at the first of them.
//
// Who touches what: the caller owns the run and the unit behind it. Any thread
// and handler may call, each for its own run. The number of guards is a hint.
//
// Interruption: an operation that stops at any point leaves some pages
// inaccessible, in a run that is lost: it stays in use.
#ifndef AOMALLOC_CORE_ARENA_GUARDS_H_
#define AOMALLOC_CORE_ARENA_GUARDS_H_

#include <cstddef>

#include "core/arena/run.h"

namespace aomalloc::guards {

constexpr size_t kMostMappings = 16384;

// Puts a guard over `bytes` of a run's pages from `start` on, adjacent to the
// guard that the run may have. If the system refuses, there is no guard. Before
// these pages are used again, Remove is to be called.
void Put(Run* run, char* start, size_t bytes);

// Makes `bytes` from `start` on accessible, where the guard of a run begins.
// The rest of it stays. False if the system refuses: then some of the pages may
// have become accessible, and none is to be used.
bool Lift(char* start, size_t bytes);

// Makes `bytes` from the start of a run accessible, whatever guards it has, and
// sets `*dirty` to whether they may be other than zero. False if the system
// refuses: then the pages must not be used again.
bool Remove(Run* run, size_t bytes, bool* dirty);

}  // namespace aomalloc::guards

#endif  // AOMALLOC_CORE_ARENA_GUARDS_H_
