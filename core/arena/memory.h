// The memory of the process: which arenas there are, and which of them serves a
// request.
//
// Without mmap there is the static heap: an array, which is there from the
// first call on, and the rest, which is mapped when the library is loaded, if
// there is to be more than the array. With mmap there is also the primary,
// which grows where it is, and gives addresses back (growth.h). If it has no
// room, another such arena is added. Where address space is limited, or none
// can be had, pieces are added: smaller arenas, which give no addresses back.
// Arenas are never removed.
//
// Who touches what: any thread and handler may call anything here at any time,
// except SetStaticHeap and SetLimit. A run belongs to the operation that has
// taken it.
//
// Commit: a new arena becomes visible with the compare-and-swap on its slot in
// `mapped_arenas`. Runs are taken and returned as arena.h says.
//
// Interruption: if the operation that adds an arena stops before that
// compare-and-swap, the new mapping is lost. If it stops after it, and before
// it has written `primary_place`, the next one writes it.
// An operation that stops between the ceiling and the arena leaves what
// ceiling.h says.
#ifndef AOMALLOC_CORE_ARENA_MEMORY_H_
#define AOMALLOC_CORE_ARENA_MEMORY_H_

#include "core/arena/arena.h"
#include "core/arena/make_arena.h"
#include "core/arena/purge.h"
#include "core/base/likely.h"

namespace aomalloc::memory {

// Build settings: how many bytes the static heap has unless SetStaticHeap sets
// another number, and how many bytes the array has. A collector such as libgc
// reads the array each time, as it reads all variables of a library. So the
// library that is preloaded has a small one, which is enough until it is loaded
// (core/BUILD).
#ifndef AOMALLOC_STATIC_HEAP_BYTES
#define AOMALLOC_STATIC_HEAP_BYTES 2097152
#endif
#ifndef AOMALLOC_STATIC_ARRAY_BYTES
#define AOMALLOC_STATIC_ARRAY_BYTES AOMALLOC_STATIC_HEAP_BYTES
#endif

// Where an arena is whose blocks are found fast. `units`, which only grows, is
// written after the other words. While it is 0, no address is in the arena.
struct Place {
  AtomicWord units;
  AtomicWord minus_base;
  Run* table;  // all that write it write the same
};
extern Place primary_place __attribute__((visibility("hidden")));
extern Place static_rest_place __attribute__((visibility("hidden")));

// Whether the arena there holds an address, and where.
template <Place& kPlace, int kUnitShift>
class In {
 public:
  // Acquire: pairs with the release in SetPlace. A thread that sees the units
  // sees the other words of the place, and the arena.
  explicit In(const void* address)
      : units_(LoadAcquire(&kPlace.units)),
        index_((reinterpret_cast<AO_t>(address) +
                LoadRelaxed(&kPlace.minus_base)) >>
               kUnitShift) {}

  // True if the arena holds the address.
  explicit operator bool() const { return index_ < units_; }

  // The descriptor of the unit at the address, if the arena holds it.
  Run* unit() const { return kPlace.table + index_; }

 private:
  const AO_t units_;
  const AO_t index_;
};
using InPrimary = In<primary_place, kMappedUnitShift>;
using InStaticRest = In<static_rest_place, kStaticUnitShift>;

// The array and its descriptors.
constexpr size_t kArrayUnits = AOMALLOC_STATIC_ARRAY_BYTES / kStaticUnitBytes;
extern char static_array[kArrayUnits * kStaticUnitBytes]
    __attribute__((visibility("hidden")));
extern Run static_table[kArrayUnits] __attribute__((visibility("hidden")));

// RunAt for the static heap. Null if `address` is not in it.
inline Run* RunInStatic(const void* address) {
  const InStaticRest rest(address);
  Run* unit;
  if (Likely(static_cast<bool>(rest))) {
    unit = rest.unit();
  } else {
    const size_t offset =
        reinterpret_cast<AO_t>(address) - reinterpret_cast<AO_t>(static_array);
    if (Unlikely(offset >= sizeof(static_array))) return nullptr;
    unit = &static_table[offset >> kStaticUnitShift];
  }
  return unit->kind == RunKind::kInterior ? unit - unit->units : unit;
}

// From now on memory may be mapped.
void EnableMmap();
extern AtomicWord mmap_enabled __attribute__((visibility("hidden")));
inline bool MmapEnabled() { return LoadRelaxed(&mmap_enabled) != 0; }

// True if memory cannot grow without limit: without mmap, or under a ceiling.
// Then a thread should keep little that others may need. `plenty` is 1 if
// memory can grow, else 0.
extern AtomicWord plenty __attribute__((visibility("hidden")));
inline bool IsScarce() { return LoadRelaxed(&plenty) == 0; }

// From now on the static heap has `bytes`, in whole units. What is in use
// stays, and counts. False if the system refuses the rest; then nothing has
// changed. To be called at most once, before there are threads.
bool SetStaticHeap(size_t bytes);
size_t StaticHeapBytes();

// From now on at most `bytes` may be in use, in the static heap and in mapped
// memory together. Requests beyond that fail. To be called once, before there
// are threads.
void SetLimit(size_t bytes);

// After AnnounceExhaustion, the first request that fails while mmap is not
// enabled prints one line on stderr. Exhausted is to be called for each request
// that fails.
void AnnounceExhaustion();
void Exhausted();

// The first Exhausted from now on calls `function`, which must be signal-safe.
// To be called before there are threads.
void CallWhenExhausted(void (*function)());

// How much to take. There is one size for each kind of arena, because their
// units differ.
struct Request {
  size_t mapped_bytes;
  size_t static_bytes;
  size_t alignment;    // a power of two
  bool dense = false;  // it is likely that all of it will be used
};

struct Grant {
  Run* run = nullptr;  // null if there is no memory
  Arena* arena = nullptr;
  bool zeroed = false;  // the memory is known to be zero

  char* address() const { return run->base; }
};

// Takes a run. Its memory is mapped if mmap is enabled; the static heap is the
// last resort.
Grant Take(const Request& request);

// Clears `bytes` of a run that was just taken, where they may be other than
// zero. For who has taken it, before anything is written there.
void ClearTaken(const Run* run, size_t bytes);

// Grows a run at its end, in place, until it has `bytes`. False if that is not
// possible; then the run is as it was.
bool Extend(Run* run, size_t bytes);

// Gives back the units that a run of `bytes`, which is not 0, does not need.
void Shrink(Run* run, size_t bytes);

// True if the run begins or ends in a huge page.
bool IsHuge(const Run* run);

// True if pages of a mapped run, which the caller has, may be purged by
// themselves. If the run lies in a huge page, that is broken, if most of it is
// free, or some of it and the caller insists; otherwise they may not.
bool MayPurgeParts(const Run* run, bool insists);

// Purges pages of a run, which lie in no huge page. False if the system
// refuses; then nothing has changed.
bool PurgePart(char* start, size_t bytes);

// To be called when other pages were put in a mapped run: the kernel is to give
// them the size that others there have.
void SizePages(const Run* run);

// Gives a run back, and purges what is due. `dirty`: its memory may be other
// than zero. If the run's pages cannot be made usable again (guards, moved
// pages), the run stays in use for ever.
void Return(Run* run, bool dirty);

// The arena that holds an address, or whose table holds a descriptor; null if
// there is none.
Arena* ArenaOf(const void* address);
Arena* ArenaOfRun(const Run* run);

// Of a run: the size of a unit, the size of the run, and whether it lies in
// mapped memory and not in the static heap.
size_t UnitBytes(const Run* run);
size_t BytesOf(const Run* run);
inline bool IsMapped(const Run* run) {
  return InPrimary(run->base) || ArenaOfRun(run)->mapped();
}

// The span that contains `unit`, whose kind is kFree; null if there is none.
// For messages: other threads may change the descriptors meanwhile.
const Run* SpanAround(const Run* unit);

// Purges what is due in the arena of `run`, for a caller that has kept `run`
// and has not returned it.
inline void PurgeIfPending(const Run* run) {
  if (Likely(!purge::IsPending())) return;
  Arena* arena = ArenaOfRun(run);
  if (arena->mapped()) purge::IfDue(arena, 0);
}

// Gives free memory of mapped arenas back to the system now, except `keep`
// bytes in each of them. True if some was given back.
bool Trim(size_t keep = 0);

// The run that holds `address`: the first unit of a slab or a span. If the
// address is behind the first unit of a span, or in free memory, a unit whose
// kind is kFree. Null if the address is in no arena.
//
// The primary may have passed by what others have mapped, a piece for example,
// also where it had runs before. There its descriptors say kFree, and the rest
// of them is not to be read: so RunAt goes on to the other arenas then.
Run* RunAtSlow(const void* address);
inline Run* RunAt(const void* address) {
  const InPrimary primary(address);
  if (Likely(static_cast<bool>(primary)) &&
      Likely(Glance(primary.unit()->kind) != RunKind::kFree)) {
    return primary.unit();
  }
  return RunAtSlow(address);
}

// The bytes that are in use in all arenas. A hint.
size_t UsedBytes();

// Where debuggers find the arenas. Other code calls ArenaAt.
constexpr int kMaxMapped = 96;
extern Arena static_arena __attribute__((visibility("hidden")));
extern AtomicWord static_rest  // Arena*, or 0
    __attribute__((visibility("hidden")));
extern AtomicWord mapped_arenas[kMaxMapped]  // Arena*, filled from the front
    __attribute__((visibility("hidden")));

// The arena with this index: the static array, then the rest of the static
// heap, if there is one, then mapped memory. Null behind the last.
Arena* ArenaAt(int index);

// The mapped arena with this index. Null behind the last.
Arena* MappedAt(int index);

// The primary: the first mapped arena that grows. Null if there is none yet.
// Once there is one, it stays the same.
Arena* Primary();

}  // namespace aomalloc::memory

#endif  // AOMALLOC_CORE_ARENA_MEMORY_H_
