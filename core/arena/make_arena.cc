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

// What of the primary arena is always mapped. Behind it is room for the arena's
// bitmaps and the table, of which there is as much as is needed. (A page has at
// most kPage bytes.)
constexpr size_t kPrimaryUnits = kPrimaryBytes / kMappedUnitBytes;
static_assert(kPrimaryUnits % Growth::kLargeTableUnits == 0);
constexpr size_t kChunkWords =
    RoundUp(kPrimaryUnits / Growth::kChunkUnits, 64) / 64;
static_assert(Growth::kChunkUnits * kMappedUnitBytes == 2 * kHuge);
constexpr size_t kHugeWords =
    RoundUp(kPrimaryUnits / HugePages::kUnits, 64) / 64;
struct alignas(64) Primary {
  Arena arena;
  Growth growth;
  HugePages huge_pages;
  AtomicWord hints[Arena::HintsFor(kPrimaryUnits)];
  AtomicWord claimed[kChunkWords];
  AtomicWord mapped[kChunkWords];
  AtomicWord asked[kHugeWords];
  AtomicWord huge[kHugeWords];
};
constexpr size_t kPage = 65536;
constexpr size_t kPrimaryHeader = RoundUp(sizeof(Primary), kPage);
constexpr Layout kPrimary(kPrimaryHeader, kPrimaryUnits, kMappedUnitBytes);
static_assert(kPrimary.bitmap_bytes % kPage == 0);
size_t PrimaryHeaderBytes() { return RoundUp(sizeof(Primary), os::PageSize()); }

// Makes the primary at `start`. Null if there is no room there. Sets `*filled`
// to what the system has said.
Arena* MakePrimaryAt(char* start, os::Filled* filled) {
  *filled = os::FillHole(start, PrimaryHeaderBytes());
  if (*filled != os::Filled::kDone) return nullptr;
  os::Name(start, PrimaryHeaderBytes(), os::kDescriptorsName);
  auto* primary = reinterpret_cast<Primary*>(start);
  auto* used = reinterpret_cast<AtomicWord*>(start + kPrimaryHeader);
  auto* dirty = used + kPrimary.bitmap_bytes / sizeof(AO_t);
  auto* table = reinterpret_cast<Run*>(start + kPrimary.table);
  char* base = start + kPrimary.base;
  new (&primary->huge_pages) HugePages(base, primary->asked, primary->huge);
  auto* growth = new (&primary->growth)
      Growth(base, kMappedUnitShift, table, kPrimaryUnits, primary->claimed,
             primary->mapped, &primary->huge_pages);
  *filled = growth->Begin(used, dirty);
  if (*filled != os::Filled::kDone) {
    os::Unmap(start, PrimaryHeaderBytes());
    return nullptr;
  }
  Arena* arena =
      new (&primary->arena) Arena(base, kPrimaryUnits, kMappedUnitShift, table,
                                  used, dirty, primary->hints, growth);
  arena->Begin();
  return arena;
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

uintptr_t PrimaryPlaceBelow(uintptr_t there, unsigned i) {
  const uintptr_t room = 2 * (kPrimary.base + kPrimaryBytes);
  // Where addresses have 39 bits there is not so much room.
  const bool is_wide = room < there / 2 / kPrimaryPlaces;
  const uintptr_t distance = is_wide ? room * (i + 1) : there / (i + 2);
  return ((there - distance) & ~(kHuge - 1)) - kPrimary.base % kHuge;
}

Arena* MakePrimary() {
  const uintptr_t there = WhereMappingsAre();
  if (there == 0) return nullptr;
  Arena* primary = nullptr;
  os::Filled filled = os::Filled::kOccupied;
  for (unsigned i = 0; i < kPrimaryPlaces && filled == os::Filled::kOccupied;
       ++i) {
    primary = MakePrimaryAt(
        reinterpret_cast<char*>(PrimaryPlaceBelow(there, i)), &filled);
  }
  return primary;
}

void UnmakePrimary(Arena* arena) {
  auto* primary = reinterpret_cast<Primary*>(arena);
  primary->growth.End();
  os::Unmap(primary, PrimaryHeaderBytes());
}

}  // namespace aomalloc::memory
