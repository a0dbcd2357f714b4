#include "core/arena/memory.h"

#include <string.h>

#include <initializer_list>

#include "core/arena/ceiling.h"
#include "core/arena/guards.h"
#include "core/arena/move.h"
#include "core/base/barrier.h"
#include "core/base/line.h"
#include "core/base/os.h"
#include "core/base/os_memory.h"
#include "core/base/probe.h"

namespace aomalloc::memory {
namespace {

constexpr size_t kStaticWords = (kArrayUnits + 63) / 64;
AtomicWord static_used[kStaticWords];
AtomicWord static_dirty[kStaticWords];
constexpr size_t kUnitsAtFirst = AOMALLOC_STATIC_HEAP_BYTES / kStaticUnitBytes;
AtomicWord static_hints[Arena::HintsFor(kArrayUnits)];

}  // namespace

Arena static_arena(static_array, kArrayUnits, kStaticUnitShift, static_table,
                   static_used, static_dirty, static_hints,
                   kUnitsAtFirst < kArrayUnits ? kUnitsAtFirst : kArrayUnits);
AtomicWord static_rest;
AtomicWord mapped_arenas[kMaxMapped];

namespace {

// A piece is a quarter of the accessible memory that there is already, so that
// few pieces suffice for any amount. It is at least this large, unless the
// system refuses so much.
constexpr size_t kSmallestPiece = size_t{1} << 20;

// Where a program may have fewer addresses, an arena that grows would take too
// many of them: it grows by 4 MiB at least.
constexpr size_t kLeastForGrowing = size_t{48} << 20;

// The most that one has room for.
constexpr size_t kMostRoom = size_t{4} << 40;

constexpr size_t kChunkBytes = Growth::kChunkUnits * kMappedUnitBytes;

AtomicWord announce_exhaustion;
AtomicWord when_exhausted;  // void (*)(); null after its call

// Acquire: pairs with the release in SetStaticHeap.
Arena* StaticRest() {
  return reinterpret_cast<Arena*>(LoadAcquire(&static_rest));
}

// Has `free` find the units of an arena, which may have more than before. If a
// thread stops before this, their blocks are found more slowly, by the list of
// arenas, until the next thread does the same.
void SetPlace(const Arena* arena, Place* place) {
  if (LoadRelaxed(&place->units) == 0) {
    place->table = arena->table();
    StoreRelaxed(&place->minus_base, -reinterpret_cast<AO_t>(arena->base()));
  }
  const size_t units = arena->units();
  AO_t seen;
  do {
    seen = LoadRelaxed(&place->units);
    // Release: pairs with the acquire in In. The other words come before.
  } while (seen < units && !CasRelease(&place->units, seen, units));
}

void PlacePrimary(const Arena* primary) { SetPlace(primary, &primary_place); }

// True if the system has so much memory, as far as one can know.
bool IsToBeHad(size_t bytes) {
  void* memory = os::Map(bytes, kMappedUnitBytes);
  if (memory != nullptr) os::Unmap(memory, bytes);
  return memory != nullptr;
}

// AddArena, if it is to be one that grows: if no other one has room, whatever
// the system has. Each has room for twice as much as the one before.
bool AddGrowing(int slot, size_t bytes) {
  unsigned count = 0;
  for (int i = 0; i < slot; ++i) {
    const Arena* arena = MappedAt(i);
    if (!arena->grows()) continue;
    if (arena->HasRoom(arena->UnitsFor(bytes))) return false;
    ++count;
  }
  size_t room = kPrimaryBytes << count;
  while (room < kMostRoom && room / 2 < bytes) room *= 2;
  if (room > kMostRoom || room / 2 < bytes) return false;
  if (room != kPrimaryBytes && !IsToBeHad(bytes)) return false;
  // Asked last: a sandbox may kill for it.
  if (os::AddressSpaceLimit() < kLeastForGrowing) return false;
  Arena* arena = MakeGrowing(room, /*first_place=*/count);
  if (arena == nullptr) return false;
  // Release: as below.
  if (!CasRelease(&mapped_arenas[slot], 0, reinterpret_cast<AO_t>(arena))) {
    UnmakeGrowing(arena, room);
  } else if (count == 0) {
    PlacePrimary(arena);
  }
  return true;
}

// Adds an arena that can hold `bytes`, in `slot`, which was free. False if
// there is no room. If another thread has used the slot meanwhile, that counts
// as success: it has added an arena.
bool AddArena(int slot, size_t bytes) {
  if (slot >= kMaxMapped) return false;
  if (AddGrowing(slot, bytes)) return true;
  size_t accessible = 0;
  for (int i = 0; i < slot; ++i) {
    accessible += MappedAt(i)->accessible_units() * kMappedUnitBytes;
  }
  // Room for the worst case of alignment is in `bytes` already.
  size_t least = RoundUp(bytes, kMappedUnitBytes);
  if (least < bytes) return false;  // wrapped
  size_t size = RoundUp(accessible / 4, kMappedUnitBytes);
  if (size < kSmallestPiece) size = kSmallestPiece;
  if (size < least) size = least;
  // If there is a primary, the system may grant it memory again later. So a
  // piece beside it must be worth a slot.
  const bool is_extra = LoadRelaxed(&primary_place.units) != 0;
  if (is_extra && least < kSmallestPiece) least = kSmallestPiece;
  // If the system refuses, try half as much, and so on, so that the piece uses
  // most of the address space that is left.
  Arena* piece;
  while ((piece = MakePiece(size)) == nullptr) {
    if (size == least) return false;
    size = RoundUp(size / 2, kMappedUnitBytes);
    if (size < least) size = least;
  }
  // Release: pairs with the acquire in MappedAt; what MakePiece wrote comes
  // before.
  if (!CasRelease(&mapped_arenas[slot], 0, reinterpret_cast<AO_t>(piece))) {
    UnmakePiece(piece);
  }
  return true;
}

// purge::MakeRoom in all arenas that grow.
bool MakeRoom() {
  bool made = false;
  Arena* arena;
  for (int i = 0; (arena = MappedAt(i)) != nullptr; ++i) {
    if (arena->grows()) made |= purge::MakeRoom(arena);
  }
  return made;
}

Grant TakeMapped(size_t bytes, size_t alignment, bool dense) {
  bool made_room = false;
  while (true) {
    int slot = 0;
    for (; slot < kMaxMapped; ++slot) {
      Arena* arena = MappedAt(slot);
      if (arena == nullptr) break;
      const Arena::Taken taken =
          arena->Take(arena->UnitsFor(bytes), alignment, dense);
      if (taken.run != nullptr) {
        if (taken.zeroed) purge::TookFresh();
        if (arena == Primary()) PlacePrimary(arena);
        return {taken.run, arena, taken.zeroed};
      }
    }
    // What fits into a chunk would have been found in a free one.
    if (!made_room && bytes + alignment > kChunkBytes) {
      made_room = true;
      if (MakeRoom()) continue;
    }
    size_t room = bytes;
    if (alignment > kMappedUnitBytes) room += alignment;
    if (room < bytes || !AddArena(slot, room)) return Grant();
  }
}

// From the static heap. The rest is larger than what is left of the array, and
// its blocks are found first.
Grant TakeStatic(size_t bytes, size_t alignment) {
  for (Arena* arena : {StaticRest(), &static_arena}) {
    if (arena == nullptr) continue;
    const Arena::Taken taken = arena->Take(arena->UnitsFor(bytes), alignment);
    if (taken.run != nullptr) return {taken.run, arena, taken.zeroed};
  }
  return Grant();
}

// Under a ceiling, free memory that is not purged counts too: purges what does
// not fit below the ceiling any more.
void PurgeForCeiling() {
  size_t kept = 0;
  for (int i = 0; i < kMaxMapped && MappedAt(i) != nullptr; ++i) {
    const size_t room = ceiling::Room() / kMappedUnitBytes;
    const size_t allowed = room > kept ? room - kept : 0;
    if (MappedAt(i)->dirty_units() > allowed) {
      MappedAt(i)->PurgeExcess(allowed, Arena::Effort::kBreak);
    }
    kept += MappedAt(i)->dirty_units();
  }
}

// Reserves `bytes` below the ceiling, and purges to make room for them.
bool Reserve(size_t bytes) {
  if (!ceiling::Reserve(bytes)) return false;
  if (Unlikely(ceiling::IsSet())) PurgeForCeiling();
  return true;
}

// In the hardened build each mapped run has one more unit, which is a guard. If
// the system refuses the guard, the unit is merely not used.
constexpr size_t kGuardBytes = hardening::kOn ? kMappedUnitBytes : 0;

void GuardEnd(Run* run) {
  if constexpr (!hardening::kOn) return;
  --run->units;
  guards::Put(run, run->base + (size_t{run->units} << kMappedUnitShift),
              kMappedUnitBytes);
}

// False if the run cannot be made accessible again: then it must stay in use.
bool UnguardEnd(const Arena* arena, Run* run, bool* dirty) {
  if (!hardening::kOn || !arena->mapped()) return true;
  ++run->units;
  return guards::Remove(run, size_t{run->units} << kMappedUnitShift, dirty);
}

// Replaces the pages of a run that were moved there by new ones. If the system
// refuses, the old pages stay, dirty and a mapping of their own. False if the
// run must not be used any more.
bool RenewPages(const Arena* arena, Run* run, bool* dirty) {
  // If Renew fails, for example in a process that has as many mappings as it
  // may have, the old pages may be there still, or nothing. The mark shows
  // whether they are.
  os::Mark(run->base);
  const size_t bytes = run->units * arena->unit_bytes();
  *dirty = !os::Renew(run->base, bytes);
  if (!*dirty) arena->SizePages(run);
  return !*dirty || os::IsMarked(run->base);
}

// Gives units back, whatever they were used for, and purges what is due.
void GiveBack(Arena* arena, Run* run, bool dirty) {
  const size_t bytes = run->units * arena->unit_bytes();
  // One system call now; PurgeExcess would make one for every few units.
  if (dirty && arena->mapped() && purge::IsTooMuch(arena, bytes)) {
    dirty = !os::Purge(run->base, bytes);
  }
  const size_t units = run->units;
  arena->Return(run, dirty);
  ceiling::Release(bytes);
  if (arena->mapped()) purge::IfDue(arena, units);
}

}  // namespace

alignas(64) Place primary_place;
Place static_rest_place;
AtomicWord mmap_enabled = 0;
AtomicWord plenty = 0;

// Aligned to a unit, and not to more: a loader takes longer for a library that
// is aligned to more than a page.
alignas(kStaticUnitBytes) char static_array[kArrayUnits * kStaticUnitBytes];
Run static_table[kArrayUnits];

void EnableMmap() {
  if (!MmapEnabled()) barrier::Prepare();
  StoreRelaxed(&mmap_enabled, 1);
  if (!ceiling::IsSet()) StoreRelaxed(&plenty, 1);
}

bool SetStaticHeap(size_t bytes) {
  const size_t units = bytes >> kStaticUnitShift;
  if (units <= kArrayUnits) {
    static_arena.UseOnly(units);
    return true;
  }
  // No more of the array is used, so that a block can be as large as the rest.
  const size_t in_array = static_arena.FreeTail(static_arena.end());
  Arena* rest = MakeStaticRest(units - in_array);
  if (rest == nullptr) return false;
  // Release: pairs with the acquire in StaticRest.
  StoreRelease(&static_rest, reinterpret_cast<AO_t>(rest));
  SetPlace(rest, &static_rest_place);
  static_arena.UseOnly(in_array);
  return true;
}

size_t StaticHeapBytes() {
  const Arena* rest = StaticRest();
  const size_t units = rest == nullptr ? 0 : rest->end();
  return (static_arena.end() + units) * kStaticUnitBytes;
}

void SetLimit(size_t bytes) {
  StoreRelaxed(&plenty, 0);
  ceiling::Set(bytes, UsedBytes());
}

void AnnounceExhaustion() { StoreRelaxed(&announce_exhaustion, 1); }

void CallWhenExhausted(void (*function)()) {
  StoreRelaxed(&when_exhausted, reinterpret_cast<AO_t>(function));
}

void Exhausted() {
  probe::Exhausted(UsedBytes());
  if (!MmapEnabled() && LoadRelaxed(&announce_exhaustion) != 0 &&
      CasRelaxed(&announce_exhaustion, 1, 0)) {
    Line()
        .Text("the static heap of ")
        .Decimal(StaticHeapBytes())
        .Text(" bytes is full; set AO_MALLOC_ENABLE_MMAP=1 to let it grow")
        .Write();
  }
  const AO_t function = LoadRelaxed(&when_exhausted);
  if (function != 0 && CasRelaxed(&when_exhausted, function, 0)) {
    reinterpret_cast<void (*)()>(function)();
  }
}

Grant Take(const Request& request) {
  if (MmapEnabled()) {
    const size_t bytes =
        RoundUp(request.mapped_bytes, kMappedUnitBytes) + kGuardBytes;
    if (Reserve(bytes)) {
      const Grant grant = TakeMapped(bytes, request.alignment, request.dense);
      if (grant.run != nullptr) {
        GuardEnd(grant.run);
        return grant;
      }
      ceiling::Release(bytes);
    }
  }
  // The static heap is the only arena, or the last resort.
  const size_t bytes = RoundUp(request.static_bytes, kStaticUnitBytes);
  if (!ceiling::Reserve(bytes)) return Grant();
  const Grant grant = TakeStatic(bytes, request.alignment);
  if (grant.run == nullptr) ceiling::Release(bytes);
  return grant;
}

void ClearTaken(const Run* run, size_t bytes) {
  const Arena* arena = ArenaOfRun(run);
  auto unit = static_cast<size_t>(run - arena->table());
  for (size_t at = 0; at < bytes; at += arena->unit_bytes(), ++unit) {
    // A unit in use has the bit that it had when it was taken.
    if (!arena->IsDirty(unit)) continue;
    const size_t rest = bytes - at;
    memset(run->base + at, 0,
           rest < arena->unit_bytes() ? rest : arena->unit_bytes());
  }
}

bool Extend(Run* run, size_t bytes) {
  Arena* arena = ArenaOfRun(run);
  const size_t units = arena->UnitsFor(bytes);
  const size_t more = (units - run->units) * arena->unit_bytes();
  if (!Reserve(more)) return false;
  if (arena->Extend(run, units)) {
    if (arena == Primary()) PlacePrimary(arena);
    return true;
  }
  ceiling::Release(more);
  return false;
}

bool IsHuge(const Run* run) { return ArenaOfRun(run)->IsHuge(run); }

bool MayPurgeParts(const Run* run, bool insists) {
  return ArenaOfRun(run)->BreakFor(run, insists);
}

bool PurgePart(char* start, size_t bytes) {
  probe::Purge(start, bytes);
  return os::Purge(start, bytes);
}

void SizePages(const Run* run) { ArenaOfRun(run)->SizePages(run); }

void Shrink(Run* run, size_t bytes) {
  Arena* arena = ArenaOfRun(run);
  const size_t units = arena->UnitsFor(bytes);
  if (units == run->units) return;
  const bool cuts_moved = run->moved_units > units;
  // This comes before Cut: if the operation is abandoned in between, the run
  // still has no more moved units than units.
  if (cuts_moved) Commit(&run->moved_units, static_cast<uint32_t>(units));
  Run* tail = arena->Cut(run, units);
  bool dirty = true;
  if (cuts_moved) {
    if (!RenewPages(arena, tail, &dirty)) return;
    // The tail stays a mapping of its own, which nothing counts. Move no more
    // pages, so that there are not more of these.
    if (dirty) move::GiveUp();
  }
  GiveBack(arena, tail, dirty);
}

void Return(Run* run, bool dirty) {
  Arena* arena = ArenaOfRun(run);
  if (!UnguardEnd(arena, run, &dirty)) return;
  if (run->moved_units != 0) {
    if (!RenewPages(arena, run, &dirty)) return;
    move::Forget(run, arena, /*renewed=*/!dirty);
  }
  GiveBack(arena, run, dirty);
}

bool Trim(size_t keep) {
  bool trimmed = false;
  for (int i = 0; i < kMaxMapped && MappedAt(i) != nullptr; ++i) {
    Arena* arena = MappedAt(i);
    const size_t purged = arena->purged_units();
    arena->PurgeExcess(keep / arena->unit_bytes(), Arena::Effort::kInsist);
    trimmed |= arena->purged_units() != purged;
    purge::Addresses(arena);
  }
  return trimmed;
}

// Acquire: pairs with the compare-and-swap in AddArena. The caller sees what
// made the arena.
Arena* MappedAt(int index) {
  if (index >= kMaxMapped) return nullptr;
  return reinterpret_cast<Arena*>(LoadAcquire(&mapped_arenas[index]));
}

Arena* Primary() {
  Arena* arena;
  for (int i = 0; (arena = MappedAt(i)) != nullptr; ++i) {
    if (arena->grows()) return arena;
  }
  return nullptr;
}

Arena* ArenaAt(int index) {
  if (index == 0) return &static_arena;
  Arena* rest = StaticRest();
  if (rest == nullptr) return MappedAt(index - 1);
  return index == 1 ? rest : MappedAt(index - 2);
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

size_t UnitBytes(const Run* run) { return ArenaOfRun(run)->unit_bytes(); }

size_t BytesOf(const Run* run) { return run->units * UnitBytes(run); }

const Run* SpanAround(const Run* unit) {
  const Arena* arena = ArenaOfRun(unit);
  const Run* table = arena->table();
  if (!arena->InUse(static_cast<size_t>(unit - table))) return nullptr;
  for (const Run* run = unit; run > table;) {
    --run;
    if (run->kind == RunKind::kFree) continue;
    const auto distance = static_cast<size_t>(unit - run);
    return run->kind == RunKind::kSpan && distance < run->units ? run : nullptr;
  }
  return nullptr;
}

}  // namespace aomalloc::memory
