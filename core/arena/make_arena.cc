#include "core/arena/make_arena.h"

#include <new>

#include "core/arena/growth.h"
#include "core/base/os_memory.h"

namespace aomalloc::memory {
namespace {

constexpr size_t RoundUp(size_t value, size_t to) {
  return (value + to - 1) / to * to;
}

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

// What of an arena that grows is always mapped: this, its hints, and bits for
// its chunks and huge pages. Behind that is room for the arena's bitmaps and
// the table, of which there is as much as is needed.
struct alignas(64) Grower {
  Arena arena;
  Growth growth;
  HugePages huge_pages;

  AtomicWord* words() { return reinterpret_cast<AtomicWord*>(this + 1); }
};
static_assert(Growth::kChunkUnits * kMappedUnitBytes == 2 * kHuge);

// A page has at most kPage bytes, and no two bitmaps have a page in common.
constexpr size_t kPage = 65536;
constexpr size_t kGrain = kPage * 8 * kMappedUnitBytes;
static_assert(kGrain % (Growth::kLargeTableUnits * kMappedUnitBytes) == 0);
static_assert(kPrimaryBytes % kGrain == 0);

struct GrowerLayout {
  size_t units;
  size_t hint_words;
  size_t chunk_words;
  size_t huge_words;
  size_t header_bytes;
  Layout parts;

  constexpr explicit GrowerLayout(size_t bytes)
      : units(bytes / kMappedUnitBytes),
        hint_words(Arena::HintsFor(units)),
        chunk_words(units / Growth::kChunkUnits / 64),
        huge_words(units / HugePages::kUnits / 64),
        header_bytes(sizeof(Grower) +
                     (hint_words + 2 * (chunk_words + huge_words)) *
                         sizeof(AO_t)),
        parts(RoundUp(header_bytes, kPage), units, kHuge) {}

  size_t HeaderPages() const { return RoundUp(header_bytes, os::PageSize()); }
};
constexpr GrowerLayout kPrimary(kPrimaryBytes);

// Makes an arena that grows at `start`. Null if there is no room there. Sets
// `*filled` to what the system has said.
Arena* MakeGrowerAt(char* start, const GrowerLayout& layout,
                    os::Filled* filled) {
  *filled = os::FillHole(start, layout.HeaderPages());
  if (*filled != os::Filled::kDone) return nullptr;
  os::Name(start, layout.HeaderPages(), os::kDescriptorsName);
  auto* grower = reinterpret_cast<Grower*>(start);
  AtomicWord* hints = grower->words();
  AtomicWord* claimed = hints + layout.hint_words;
  AtomicWord* mapped = claimed + layout.chunk_words;
  AtomicWord* asked = mapped + layout.chunk_words;
  AtomicWord* huge = asked + layout.huge_words;
  auto* used = reinterpret_cast<AtomicWord*>(
      start + RoundUp(layout.header_bytes, kPage));
  auto* dirty = used + layout.parts.bitmap_bytes / sizeof(AO_t);
  auto* table = reinterpret_cast<Run*>(start + layout.parts.table);
  char* base = start + layout.parts.base;
  new (&grower->huge_pages) HugePages(base, asked, huge);
  auto* growth =
      new (&grower->growth) Growth(base, kMappedUnitShift, table, layout.units,
                                   claimed, mapped, &grower->huge_pages);
  *filled = growth->Begin(used, dirty);
  if (*filled != os::Filled::kDone) {
    os::Unmap(start, layout.HeaderPages());
    return nullptr;
  }
  Arena* arena = new (&grower->arena) Arena(
      base, layout.units, kMappedUnitShift, table, used, dirty, hints, growth);
  arena->Begin();
  return arena;
}

// How often a place for a further arena was found and then not to be had. If
// the system refuses to unmap it, all of its addresses are lost each time.
AtomicWord lost_places;
constexpr AO_t kMostLostPlaces = 2;

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

uintptr_t PrimaryPlaceBelow(uintptr_t there, unsigned i) {
  const uintptr_t room = 2 * (kPrimary.parts.base + kPrimaryBytes);
  // Where addresses have 39 bits there is not so much room.
  const bool is_wide = room < there / 2 / kPrimaryPlaces;
  const uintptr_t distance = is_wide ? room * (i + 1) : there / (i + 2);
  return (there - distance) & ~(kHuge - 1);
}

Arena* MakePrimary() {
  const uintptr_t there = WhereMappingsAre();
  if (there == 0) return nullptr;
  Arena* primary = nullptr;
  os::Filled filled = os::Filled::kOccupied;
  for (unsigned i = 0; i < kPrimaryPlaces && filled == os::Filled::kOccupied;
       ++i) {
    primary = MakeGrowerAt(reinterpret_cast<char*>(PrimaryPlaceBelow(there, i)),
                           kPrimary, &filled);
  }
  return primary;
}

Arena* MakeFurther(size_t least, size_t wanted) {
  // If the system does not promise memory for the run, no arena helps.
  void* run = os::Map(least, os::PageSize());
  if (run == nullptr) return nullptr;
  os::Unmap(run, least);
  // A large run leaves the first chunk alone.
  least = RoundUp(least + Growth::kChunkUnits * kMappedUnitBytes, kGrain);
  wanted = RoundUp(wanted < kPrimaryBytes ? kPrimaryBytes : wanted, kGrain);
  while (LoadRelaxed(&lost_places) < kMostLostPlaces) {
    const GrowerLayout layout(wanted < least ? least : wanted);
    const size_t bytes = layout.parts.base + layout.units * kMappedUnitBytes;
    // The system knows where there is room.
    void* place = os::Reserve(bytes, kHuge);
    if (place != nullptr) {
      if (!os::Unmap(place, bytes)) AddRelaxed(&lost_places, 1);
      os::Filled filled;
      Arena* arena = MakeGrowerAt(static_cast<char*>(place), layout, &filled);
      // It may be there still. Or another thread was faster.
      return arena;
    }
    if (wanted <= least) return nullptr;
    wanted = RoundUp(wanted / 2, kGrain);
  }
  return nullptr;
}

void UnmakeGrower(Arena* arena) {
  auto* grower = reinterpret_cast<Grower*>(arena);
  const GrowerLayout layout(grower->growth.most() * kMappedUnitBytes);
  grower->growth.End();
  os::Unmap(grower, layout.HeaderPages());
}

}  // namespace aomalloc::memory
