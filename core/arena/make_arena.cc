#include "core/arena/make_arena.h"

#include <new>

#include "core/arena/growth.h"
#include "core/base/os_memory.h"

namespace aomalloc::memory {
namespace {

// The parts of a mapped arena before its first block: the header, which is
// `start`, has a bit for each unit in each of two bitmaps, and hints; and the
// table of descriptors, which ends kTableGap before the blocks.
struct Layout {
  size_t hint_bytes;
  size_t bitmap_bytes;
  size_t base;   // from the start
  size_t table;  // likewise

  constexpr Layout(size_t header_bytes, size_t units, size_t alignment)
      : hint_bytes(Arena::HintsFor(units) * sizeof(AO_t)),
        bitmap_bytes(RoundUp(units, 64) / 8),
        base(RoundUp(RoundUp(header_bytes + hint_bytes + 2 * bitmap_bytes,
                             alignof(Run)) +
                         units * sizeof(Run) + kTableGap,
                     alignment)),
        table(base - kTableGap - units * sizeof(Run)) {}
};

// Huge pages can form where the data begins on such a boundary.
constexpr size_t kHuge = HugePages::kBytes;

// The parts of an arena all of which is mapped at once. `start` is null if the
// system refuses.
struct Whole {
  char* start;
  char* base = nullptr;
  Run* table = nullptr;
  AtomicWord* hints = nullptr;
  AtomicWord* used = nullptr;
  AtomicWord* dirty = nullptr;

  Whole(size_t units, int unit_shift, size_t alignment) {
    const Layout layout(sizeof(Arena), units, alignment);
    const size_t bytes = layout.base + (units << unit_shift);
    start = static_cast<char*>(os::Map(bytes, alignment));
    if (start == nullptr) return;
    os::Name(start, bytes, os::kHeapName);
    base = start + layout.base;
    // Between the table and the blocks is a guard.
    const size_t gap = kTableGap & ~(os::PageSize() - 1);
    os::Forbid(base - gap, gap);
    hints = reinterpret_cast<AtomicWord*>(start + sizeof(Arena));
    used = hints + layout.hint_bytes / sizeof(AO_t);
    dirty = used + layout.bitmap_bytes / sizeof(AO_t);
    table = reinterpret_cast<Run*>(start + layout.table);
  }
};

// What of an arena that grows is always mapped, with the words of its hints and
// of the bits of its chunks and huge pages behind it. Then there is room for
// the arena's bitmaps and the table, of which there is as much as is needed. (A
// page has at most kPage bytes.)
struct alignas(64) Growing {
  Arena arena;
  Growth growth;
  HugePages huge_pages;
};
constexpr size_t kPage = 65536;
static_assert(Growth::kChunkUnits * kMappedUnitBytes == 2 * kHuge);

struct GrowingLayout {
  size_t units;
  size_t hint_words;
  size_t chunk_words;
  size_t huge_words;
  size_t header_bytes;
  Layout rest;

  constexpr explicit GrowingLayout(size_t data_bytes)
      : units(data_bytes / kMappedUnitBytes),
        hint_words(Arena::HintsFor(units)),
        chunk_words(RoundUp(units / Growth::kChunkUnits, 64) / 64),
        huge_words(RoundUp(units / HugePages::kUnits, 64) / 64),
        header_bytes(sizeof(Growing) +
                     (hint_words + 2 * (chunk_words + huge_words)) *
                         sizeof(AO_t)),
        rest(RoundUp(header_bytes, kPage), units, kMappedUnitBytes) {}

  size_t MappedBytes() const { return RoundUp(header_bytes, os::PageSize()); }
  // The addresses of two.
  size_t Room() const { return 2 * (rest.base + units * kMappedUnitBytes); }
};
constexpr GrowingLayout kPrimary(kPrimaryBytes);
static_assert(kPrimary.units % Growth::kLargeTableUnits == 0);
static_assert(kPrimary.rest.bitmap_bytes % kPage == 0);

// Makes the arena at `start`. Null if there is no room there. Sets `*filled` to
// what the system has said.
Arena* MakeGrowingAt(char* start, const GrowingLayout& layout,
                     os::Filled* filled) {
  *filled = os::FillHole(start, layout.MappedBytes());
  if (*filled != os::Filled::kDone) return nullptr;
  os::Name(start, layout.MappedBytes(), os::kDescriptorsName);
  auto* growing = reinterpret_cast<Growing*>(start);
  auto* hints = reinterpret_cast<AtomicWord*>(start + sizeof(Growing));
  AtomicWord* claimed = hints + layout.hint_words;
  AtomicWord* mapped = claimed + layout.chunk_words;
  AtomicWord* asked = mapped + layout.chunk_words;
  AtomicWord* huge = asked + layout.huge_words;
  auto* used = reinterpret_cast<AtomicWord*>(
      start + RoundUp(layout.header_bytes, kPage));
  auto* dirty = used + layout.rest.bitmap_bytes / sizeof(AO_t);
  auto* table = reinterpret_cast<Run*>(start + layout.rest.table);
  char* base = start + layout.rest.base;
  new (&growing->huge_pages) HugePages(base, asked, huge);
  auto* growth =
      new (&growing->growth) Growth(base, kMappedUnitShift, table, layout.units,
                                    claimed, mapped, &growing->huge_pages);
  *filled = growth->Begin(used, dirty);
  if (*filled != os::Filled::kDone) {
    os::Unmap(start, layout.MappedBytes());
    return nullptr;
  }
  Arena* arena = new (&growing->arena) Arena(
      base, layout.units, kMappedUnitShift, table, used, dirty, hints, growth);
  arena->Begin();
  return arena;
}

// True if there are addresses enough below `there` for arenas of that kind, at
// each of the places.
bool IsWide(uintptr_t there, const GrowingLayout& layout) {
  return layout.Room() < there / 2 / kPlaces;
}

// An address of the system's own mappings; 0 if it maps nothing.
uintptr_t WhereMappingsAre() {
  void* page = os::Reserve(os::PageSize(), os::PageSize());
  if (page == nullptr) return 0;
  os::Unmap(page, os::PageSize());
  return reinterpret_cast<uintptr_t>(page);
}

}  // namespace

Arena* MakePiece(size_t data_bytes) {
  const size_t units = data_bytes / kMappedUnitBytes;
  const size_t alignment = data_bytes >= 16 * kHuge ? kHuge : kMappedUnitBytes;
  const Whole whole(units, kMappedUnitShift, alignment);
  if (whole.start == nullptr) return nullptr;
  HugePages::AskForPiece(whole.base, data_bytes);
  return new (whole.start)
      Arena(whole.base, units, kMappedUnitShift, whole.table, whole.used,
            whole.dirty, whole.hints);
}

Arena* MakeStaticRest(size_t units) {
  const Whole whole(units, kStaticUnitShift, os::PageSize());
  if (whole.start == nullptr) return nullptr;
  return new (whole.start)
      Arena(whole.base, units, kStaticUnitShift, whole.table, whole.used,
            whole.dirty, whole.hints, units);
}

void UnmakePiece(Arena* piece) {
  char* start = reinterpret_cast<char*>(piece);
  char* end = piece->base() + piece->units() * kMappedUnitBytes;
  os::Unmap(start, static_cast<size_t>(end - start));
}

uintptr_t PlaceBelow(uintptr_t there, unsigned i, size_t data_bytes) {
  const GrowingLayout layout(data_bytes);
  // Where addresses have 39 bits there is not so much room.
  const uintptr_t distance =
      IsWide(there, layout) ? layout.Room() * (i + 1) : there / (i + 2);
  return ((there - distance) & ~(kHuge - 1)) - layout.rest.base % kHuge;
}

Arena* MakeGrowing(size_t data_bytes, unsigned first_place) {
  const uintptr_t there = WhereMappingsAre();
  const GrowingLayout layout(data_bytes);
  if (there == 0) return nullptr;
  if (data_bytes > kPrimaryBytes && !IsWide(there, layout)) return nullptr;
  Arena* arena = nullptr;
  os::Filled filled = os::Filled::kOccupied;
  for (unsigned i = 0; i < kPlaces && filled == os::Filled::kOccupied; ++i) {
    arena = MakeGrowingAt(
        reinterpret_cast<char*>(PlaceBelow(there, first_place + i, data_bytes)),
        layout, &filled);
  }
  return arena;
}

void UnmakeGrowing(Arena* arena, size_t data_bytes) {
  auto* growing = reinterpret_cast<Growing*>(arena);
  growing->growth.End();
  os::Unmap(growing, GrowingLayout(data_bytes).MappedBytes());
}

}  // namespace aomalloc::memory
