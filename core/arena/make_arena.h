// How mapped arenas come to be: what the system is asked for, and what lies
// where in it.
//
// Any thread and handler may call anything here. Stopped in the middle, a
// thread leaves an arena that nobody knows of: of one that grows, no more than
// a few MiB of addresses, unless it was just looking for a place.
#ifndef AOMALLOC_CORE_ARENA_MAKE_ARENA_H_
#define AOMALLOC_CORE_ARENA_MAKE_ARENA_H_

#include "core/arena/arena.h"

namespace aomalloc::memory {

constexpr int kMappedUnitShift = 16;
constexpr int kStaticUnitShift = 12;
constexpr size_t kMappedUnitBytes = size_t{1} << kMappedUnitShift;
constexpr size_t kStaticUnitBytes = size_t{1} << kStaticUnitShift;
constexpr size_t kPrimaryBytes = size_t{256} << 30;

// Bytes between an arena's table of descriptors and its first block. Without
// the gap the primary's table and blocks would be 2^29 bytes apart. A processor
// that predicts the cache way from the lower bits of an address would then
// never keep both in its cache (measured on Zen 4: 35 ns instead of 8 for a
// pair of malloc and free).
constexpr size_t kTableGap = size_t{37} << 12;

// Makes an arena of `data_bytes`, all of which is accessible from the start, so
// that mmap is all it takes. Null if there is no address space or memory.
Arena* MakePiece(size_t data_bytes);

// Makes an arena of so many units of a static heap, likewise.
Arena* MakeStaticRest(size_t units);

// Makes an arena that grows where it is, up to `data_bytes`, a power of two and
// kPrimaryBytes at least. It begins with 512 KiB of memory, if the system
// grants it, and less for itself. Null if there is no place for it, from
// `first_place` on.
Arena* MakeGrowing(size_t data_bytes, unsigned first_place);

// Where it may begin, given where the system's own mappings are: the i-th place
// to try, as far below them as it may grow twice, and so on, or in the middle
// of what there is. Their ends come nearer as both grow; the arena passes by
// what is in its way.
constexpr unsigned kPlaces = 4;
uintptr_t PlaceBelow(uintptr_t there, unsigned i, size_t data_bytes);

// Frees an arena that was not published.
void UnmakePiece(Arena* piece);
void UnmakeGrowing(Arena* arena, size_t data_bytes);

}  // namespace aomalloc::memory

#endif  // AOMALLOC_CORE_ARENA_MAKE_ARENA_H_
