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
// `start` and has a bit for each unit in each of two bitmaps; and the table of
// descriptors, which ends kTableGap before the blocks.
struct Layout {
  size_t bitmap_bytes;
  size_t base;   // from the start
  size_t table;  // likewise

  constexpr Layout(size_t header_bytes, size_t units, size_t alignment)
      : bitmap_bytes(RoundUp(units, 64) / 8),
        base(RoundUp(RoundUp(header_bytes + 2 * bitmap_bytes, alignof(Run)) +
                         units * sizeof(Run) + kTableGap,
                     alignment)),
        table(base - kTableGap - units * sizeof(Run)) {}
};

// Huge pages can form where the data begins on such a boundary.
constexpr size_t kHuge = HugePages::kBytes;

// What of the primary arena is mapped at first.
struct Primary {
  Arena arena;
  Growth growth;
  HugePages huge_pages;
};
constexpr size_t kPrimaryUnits = kPrimaryBytes / kMappedUnitBytes;
static_assert(kPrimaryUnits % Growth::kTableUnits == 0);
static_assert(Growth::kChunkUnits * kMappedUnitBytes == 2 * kHuge);
constexpr size_t kChunkBitmapBytes =
    RoundUp(kPrimaryUnits / Growth::kChunkUnits, 64) / 8;
constexpr size_t kHugeBitmapBytes =
    RoundUp(kPrimaryUnits / HugePages::kUnits, 64) / 8;
constexpr Layout kPrimary(sizeof(Primary) + 2 * kChunkBitmapBytes +
                              2 * kHugeBitmapBytes,
                          kPrimaryUnits, kHuge);
size_t PrimaryHeadBytes() {
  return RoundUp(kPrimary.table + Growth::kTableUnits * sizeof(Run),
                 os::PageSize());
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
  const Layout layout(sizeof(Arena), units, alignment);
  char* start =
      static_cast<char*>(os::Map(layout.base + data_bytes, alignment));
  if (start == nullptr) return nullptr;
  os::Name(start, layout.base + data_bytes, os::kHeapName);
  char* base = start + layout.base;
  HugePages::AskForPiece(base, data_bytes);
  // Between the table and the blocks is a guard.
  const size_t gap = kTableGap & ~(os::PageSize() - 1);
  os::Forbid(base - gap, gap);
  auto* used = reinterpret_cast<AtomicWord*>(start + sizeof(Arena));
  auto* dirty = used + layout.bitmap_bytes / sizeof(AO_t);
  auto* table = reinterpret_cast<Run*>(start + layout.table);
  return new (start) Arena(base, units, kMappedUnitShift, table, used, dirty);
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
  return (there - distance) & ~(kHuge - 1);
}

Arena* MakePrimary() {
  const uintptr_t there = WhereMappingsAre();
  if (there == 0) return nullptr;
  char* start = nullptr;
  os::Filled filled = os::Filled::kOccupied;
  for (unsigned i = 0; i < kPrimaryPlaces && filled == os::Filled::kOccupied;
       ++i) {
    start = reinterpret_cast<char*>(PrimaryPlaceBelow(there, i));
    filled = os::FillHole(start, PrimaryHeadBytes());
  }
  if (filled != os::Filled::kDone) return nullptr;
  os::Name(start, PrimaryHeadBytes(), os::kDescriptorsName);
  os::KeepPagesSmall(start, PrimaryHeadBytes());
  auto* primary = reinterpret_cast<Primary*>(start);
  auto* claimed = reinterpret_cast<AtomicWord*>(primary + 1);
  auto* mapped = claimed + kChunkBitmapBytes / sizeof(AO_t);
  auto* asked = mapped + kChunkBitmapBytes / sizeof(AO_t);
  auto* huge = asked + kHugeBitmapBytes / sizeof(AO_t);
  auto* used = huge + kHugeBitmapBytes / sizeof(AO_t);
  auto* dirty = used + kPrimary.bitmap_bytes / sizeof(AO_t);
  auto* table = reinterpret_cast<Run*>(start + kPrimary.table);
  char* base = start + kPrimary.base;
  new (&primary->huge_pages) HugePages(base, asked, huge);
  new (&primary->growth) Growth(base, kMappedUnitShift, table, kPrimaryUnits,
                                claimed, mapped, &primary->huge_pages);
  return new (&primary->arena) Arena(base, kPrimaryUnits, kMappedUnitShift,
                                     table, used, dirty, &primary->growth);
}

void UnmakePrimary(Arena* primary) { os::Unmap(primary, PrimaryHeadBytes()); }

}  // namespace aomalloc::memory
