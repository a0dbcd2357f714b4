#include "core/memory.h"

#include <new>

#include "core/ceiling.h"
#include "core/os.h"
#include "core/report.h"

namespace aomalloc::memory {
namespace {

constexpr size_t kStaticWords = (kStaticUnits + 63) / 64;
AtomicWord static_used[kStaticWords];
AtomicWord static_dirty[kStaticWords];

}  // namespace

Arena static_arena(static_heap, kStaticUnits, kStaticUnitShift, static_table,
                   static_used, static_dirty,
                   AOMALLOC_STATIC_HEAP_BYTES / kStaticUnitBytes);
AtomicWord mapped_arenas[kMaxMapped];

namespace {

// Each piece of limited address space is a quarter of what there is already,
// so that few suffice for any amount.
constexpr size_t kSmallestPiece = size_t{1} << 20;

AtomicWord mmap_enabled;
AtomicWord announce_exhaustion;

Arena* MappedAt(int index) {
  return reinterpret_cast<Arena*>(LoadAcquire(&mapped_arenas[index]));
}

size_t RoundUp(size_t value, size_t to) { return (value + to - 1) / to * to; }

// Reserves an arena of `data_bytes`, laid out as header and bitmaps, table,
// data. Null if there is no address space or memory for it.
Arena* MakeArena(size_t data_bytes) {
  const size_t units = data_bytes / kMappedUnitBytes;
  const size_t bitmap_bytes = RoundUp(units, 64) / 8;
  const size_t head_bytes =
      RoundUp(sizeof(Arena) + 2 * bitmap_bytes, os::PageSize());
  const size_t table_bytes = units * sizeof(Run);
  // Huge pages can form where the data begins on such a boundary.
  const size_t huge = size_t{2} << 20;
  const size_t alignment = data_bytes >= 16 * huge ? huge : kMappedUnitBytes;
  const size_t before =
      RoundUp(head_bytes + table_bytes + kTableGap, alignment);
  char* start = static_cast<char*>(os::Reserve(before + data_bytes, alignment));
  if (start == nullptr) return nullptr;
  // The whole table can be read from the start: a free of an address that was
  // never handed out finds a descriptor that says so. Between it and the blocks
  // is a guard.
  if (!os::MakeReadable(start, before - kTableGap) ||
      !os::Commit(start, head_bytes)) {
    os::Unreserve(start, before + data_bytes);
    return nullptr;
  }
  char* base = start + before;
  auto* used = reinterpret_cast<AtomicWord*>(start + sizeof(Arena));
  auto* dirty = used + bitmap_bytes / sizeof(AO_t);
  auto* table = reinterpret_cast<Run*>(base - kTableGap - table_bytes);
  return new (start) Arena(base, units, kMappedUnitShift, table, used, dirty);
}

// Frees an arena that was not published.
void UnmakeArena(Arena* arena, size_t data_bytes) {
  char* start = reinterpret_cast<char*>(arena);
  const Run* table = arena->table();
  char* base = arena->AddressOf(table);
  os::Unreserve(start, static_cast<size_t>(base - start) + data_bytes);
}

// Adds an arena that can hold `bytes`, in a free slot at or above `slot`. False
// if there is no room. Losing the race for the slot counts as success: somebody
// else has added one.
bool AddArena(int slot, size_t bytes) {
  if (slot >= kMaxMapped) return false;
  size_t reserved = 0;
  for (int i = 0; i < slot; ++i) {
    reserved += MappedAt(i)->units() * kMappedUnitBytes;
  }
  size_t size = kPrimaryBytes;
  Arena* arena = nullptr;
  const bool primary = slot == 0 && bytes <= kPrimaryBytes &&
                       os::AddressSpaceLimit() == SIZE_MAX;
  if (primary) arena = MakeArena(size);
  if (arena == nullptr) {
    // Room for the worst case of alignment is in `bytes` already.
    const size_t least = RoundUp(bytes, kMappedUnitBytes);
    if (least < bytes) return false;  // wrapped
    size = RoundUp(reserved / 4, kMappedUnitBytes);
    if (size < kSmallestPiece) size = kSmallestPiece;
    if (size < least) size = least;
    // Where less is left, half as much, and so on: little of it stays unused.
    while ((arena = MakeArena(size)) == nullptr) {
      if (size == least) return false;
      size = RoundUp(size / 2, kMappedUnitBytes);
      if (size < least) size = least;
    }
    // Reserving is easy; see that the system has the memory before a slot is
    // spent on it.
    if (!arena->CommitUpTo(arena->UnitsFor(bytes))) {
      UnmakeArena(arena, size);
      return false;
    }
  }
  const AO_t value = reinterpret_cast<AO_t>(arena);
  if (!CasFull(&mapped_arenas[slot], 0, value)) {
    UnmakeArena(arena, size);
    return true;
  }
  if (primary && size == kPrimaryBytes) {
    // Stopped before this store, a thread leaves an arena that is found the
    // slower way, through the list.
    StoreRelease(&primary_base,
                 reinterpret_cast<AO_t>(arena->AddressOf(arena->table())));
  }
  return true;
}

Taken TakeMapped(size_t bytes, size_t alignment) {
  while (true) {
    int slot = 0;
    for (; slot < kMaxMapped; ++slot) {
      Arena* arena = MappedAt(slot);
      if (arena == nullptr) break;
      const Arena::Taken taken = arena->Take(arena->UnitsFor(bytes), alignment);
      if (taken.run != nullptr) {
        if (taken.zeroed) purge::TookFresh();
        return {taken.run, arena, taken.zeroed};
      }
      if (taken.refused) return Taken();
    }
    size_t room = bytes;
    if (alignment > kMappedUnitBytes) room += alignment;
    if (room < bytes || !AddArena(slot, room)) return Taken();
  }
}

// Free memory that was not purged yet counts too, when there is a ceiling: what
// is beyond it goes.
void PurgeForCeiling() {
  size_t kept = 0;
  for (int i = 0; i < kMaxMapped && MappedAt(i) != nullptr; ++i) {
    const size_t room = ceiling::Room() / kMappedUnitBytes;
    const size_t allowed = room > kept ? room - kept : 0;
    if (MappedAt(i)->dirty_units() > allowed) MappedAt(i)->PurgeExcess(allowed);
    kept += MappedAt(i)->dirty_units();
  }
}

// Reserves `bytes` and makes room for them.
bool Reserve(size_t bytes) {
  if (!ceiling::Reserve(bytes)) return false;
  if (Unlikely(ceiling::IsSet())) PurgeForCeiling();
  return true;
}

// In the hardened build each mapped run has one unit more, which is a guard;
// where the system refuses it is only never used.
[[maybe_unused]] void GuardEnd(Run* run) {
  --run->units;
  os::Guard(run->base + (size_t{run->units} << kMappedUnitShift),
            kMappedUnitBytes);
}
[[maybe_unused]] bool UnguardEnd(Run* run) {
  ++run->units;
  return os::Unguard(run->base, size_t{run->units} << kMappedUnitShift);
}

}  // namespace

AtomicWord primary_base = kNoPrimary;
AtomicWord plenty = 0;

// Of the units' alignment, and not more: a loader takes longer over a library
// that is to be aligned to more than a page.
alignas(kStaticUnitBytes) char static_heap[kStaticUnits * kStaticUnitBytes];
Run static_table[kStaticUnits];

void EnableMmap() {
  StoreRelaxed(&mmap_enabled, 1);
  if (!ceiling::IsSet()) StoreRelaxed(&plenty, 1);
}
bool MmapEnabled() { return LoadRelaxed(&mmap_enabled) != 0; }

void SetStaticHeap(size_t bytes) {
  static_arena.CommitOnly(bytes >> kStaticUnitShift);
}

void SetLimit(size_t bytes) {
  StoreRelaxed(&plenty, 0);
  ceiling::Set(bytes, static_arena.used_units() * kStaticUnitBytes);
}

void AnnounceExhaustion() { StoreRelaxed(&announce_exhaustion, 1); }

void Exhausted() {
  if (MmapEnabled() || LoadRelaxed(&announce_exhaustion) == 0 ||
      !CasRelaxed(&announce_exhaustion, 1, 0)) {
    return;
  }
  Line()
      .Text("the static heap of ")
      .Decimal(static_arena.committed_units() * kStaticUnitBytes)
      .Text(" bytes is full; set AO_MALLOC_ENABLE_MMAP=1 to let it grow")
      .Write();
}

Taken Take(const Request& request) {
  if (MmapEnabled()) {
    size_t bytes = RoundUp(request.mapped_bytes, kMappedUnitBytes);
    if constexpr (hardening::kOn) bytes += kMappedUnitBytes;
    if (Reserve(bytes)) {
      const Taken taken = TakeMapped(bytes, request.alignment);
      if (taken.run != nullptr) {
        if constexpr (hardening::kOn) GuardEnd(taken.run);
        return taken;
      }
      ceiling::Release(bytes);
    }
  }
  // The static heap is the only one, or the last resort.
  const size_t bytes = RoundUp(request.static_bytes, kStaticUnitBytes);
  if (!ceiling::Reserve(bytes)) return Taken();
  const Arena::Taken taken =
      static_arena.Take(static_arena.UnitsFor(bytes), request.alignment);
  if (taken.run == nullptr) ceiling::Release(bytes);
  return {taken.run, &static_arena, taken.zeroed};
}

bool Resize(Arena* arena, Run* run, size_t units) {
  const size_t old_units = run->units;
  const size_t unit = arena->unit_bytes();
  const size_t more = units > old_units ? (units - old_units) * unit : 0;
  if (more != 0 && !Reserve(more)) return false;
  const bool resized = arena->Resize(run, units);
  if (!resized) ceiling::Release(more);
  if (units < old_units) ceiling::Release((old_units - units) * unit);
  return resized;
}

void Return(Arena* arena, Run* run, bool dirty) {
  if constexpr (hardening::kOn) {
    // A run that cannot be made accessible again is lost.
    if (arena->mapped() && !UnguardEnd(run)) return;
  }
  const size_t bytes = run->units * arena->unit_bytes();
  // Later that would take a system call for every few units.
  if (dirty && arena->mapped() && purge::IsTooMuch(arena, bytes)) {
    dirty = !os::Purge(run->base, bytes);
  }
  arena->Return(run, dirty);
  ceiling::Release(bytes);
  if (arena->mapped()) purge::IfDue(arena);
}

bool Trim(size_t keep) {
  bool trimmed = false;
  for (int i = 0; i < kMaxMapped && MappedAt(i) != nullptr; ++i) {
    Arena* arena = MappedAt(i);
    const size_t purged = arena->purged_units();
    arena->PurgeExcess(keep / arena->unit_bytes());
    trimmed |= arena->purged_units() != purged;
  }
  return trimmed;
}

Arena* ArenaAt(int index) {
  if (index == 0) return &static_arena;
  return index <= kMaxMapped ? MappedAt(index - 1) : nullptr;
}

size_t UsedBytes() {
  size_t bytes = 0;
  Arena* arena;
  for (int i = 0; (arena = ArenaAt(i)) != nullptr; ++i) {
    bytes += arena->used_units() * arena->unit_bytes();
  }
  return bytes;
}

Arena* ArenaOf(const void* address) {
  Arena* arena;
  for (int i = 0; (arena = ArenaAt(i)) != nullptr; ++i) {
    if (arena->Contains(address)) return arena;
  }
  return nullptr;
}

Run* RunAtSlow(const void* address) {
  Run* run = RunInStatic(address);
  if (run != nullptr) return run;
  const Arena* arena = ArenaOf(address);
  return arena != nullptr ? arena->UnitAt(address) : nullptr;
}

Arena* ArenaOfRun(const Run* run) {
  Arena* arena;
  for (int i = 0; (arena = ArenaAt(i)) != nullptr; ++i) {
    if (arena->Owns(run)) return arena;
  }
  return nullptr;
}

}  // namespace aomalloc::memory
