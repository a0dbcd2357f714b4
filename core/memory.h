// The memory of the process: which arenas there are, and which one serves.
//
// Without mmap there is one, the static heap. With mmap there is a primary
// arena, one large reservation that is committed as it grows; where address
// space is limited, or the primary is full, smaller ones are added as needed.
// Arenas are never removed. Any thread and handler may call anything here.
#ifndef AOMALLOC_CORE_MEMORY_H_
#define AOMALLOC_CORE_MEMORY_H_

#include "core/arena.h"
#include "core/likely.h"
#include "core/purge.h"

namespace aomalloc::memory {

// Build settings: what of the static heap may be used unless SetStaticHeap says
// otherwise, in bytes; and the most that it can say, in MiB. More than this
// would be felt where address space or commitments are limited.
#ifndef AOMALLOC_STATIC_HEAP_BYTES
#define AOMALLOC_STATIC_HEAP_BYTES 2097152
#endif
#ifndef AOMALLOC_STATIC_ARRAY_MIB
#define AOMALLOC_STATIC_ARRAY_MIB 16
#endif

constexpr int kMappedUnitShift = 16;
constexpr int kStaticUnitShift = 12;
constexpr size_t kMappedUnitBytes = size_t{1} << kMappedUnitShift;
constexpr size_t kStaticUnitBytes = size_t{1} << kStaticUnitShift;
constexpr size_t kPrimaryBytes = size_t{256} << 30;
// No address minus this is below kPrimaryBytes.
constexpr AO_t kNoPrimary = AO_t{1} << 63;

// Base of the primary arena. Written once.
extern AtomicWord primary_base __attribute__((visibility("hidden")));

// Between an arena's table of descriptors and its first block. Without it they
// would be 2^28 bytes apart, and a processor that predicts the way in the cache
// from the bits below would never keep both (measured on Zen 4: 35 ns instead
// of 8 for a pair of malloc and free).
constexpr size_t kTableGap = size_t{37} << 12;

// An address as the primary arena sees it. The table of descriptors lies before
// the arena, so that the base alone leads to both: there is no moment when two
// words disagree.
class InPrimary {
 public:
  // Relaxed: whoever has a block of the arena was told of it after the base
  // was written.
  explicit InPrimary(const void* address)
      : base_(LoadRelaxed(&primary_base)),
        offset_(reinterpret_cast<AO_t>(address) - base_) {}

  // True if the arena holds the address.
  explicit operator bool() const {
    return offset_ >> kMappedUnitShift < kPrimaryBytes >> kMappedUnitShift;
  }

  // The descriptor of the unit at the address, if it does.
  Run* unit() const {
    constexpr size_t kTableBytes =
        (kPrimaryBytes >> kMappedUnitShift) * sizeof(Run);
    return reinterpret_cast<Run*>(base_ - kTableGap - kTableBytes +
                                  (offset_ >> kMappedUnitShift) * sizeof(Run));
  }

 private:
  const AO_t base_;
  const AO_t offset_;
};

// The static heap and its descriptors.
constexpr size_t kStaticUnits =
    (size_t{AOMALLOC_STATIC_ARRAY_MIB} << 20) / kStaticUnitBytes;
static_assert(AOMALLOC_STATIC_HEAP_BYTES <= kStaticUnits * kStaticUnitBytes);
extern char static_heap[kStaticUnits * kStaticUnitBytes]
    __attribute__((visibility("hidden")));
extern Run static_table[kStaticUnits] __attribute__((visibility("hidden")));

// The first unit of the slab or span that `address` is in, as far as the unit
// at the address knows: see RunAt. Null if it is not in the static heap.
inline Run* RunInStatic(const void* address) {
  const size_t offset =
      reinterpret_cast<AO_t>(address) - reinterpret_cast<AO_t>(static_heap);
  if (Unlikely(offset >= sizeof(static_heap))) return nullptr;
  Run* unit = &static_table[offset >> kStaticUnitShift];
  return unit->kind == RunKind::kInterior ? unit - unit->units : unit;
}

// From now on the system may be asked for memory.
void EnableMmap();
bool MmapEnabled();

// True if there is only so much memory: no thread should hold back what others
// may need. The word is 1 where it can grow without limit.
extern AtomicWord plenty __attribute__((visibility("hidden")));
inline bool IsScarce() { return LoadRelaxed(&plenty) == 0; }

// Lets so many bytes of the static heap be used, in whole units, at most what
// is built in. To be called before there are threads; what is in use stays.
void SetStaticHeap(size_t bytes);

// Lets so many bytes be in use, in the static heap and in mapped memory
// together; what is asked for beyond is refused. To be called once, before
// there are threads.
void SetLimit(size_t bytes);

// Has the first request that fails for want of mmap say so on stderr. To be
// told of each request that fails.
void AnnounceExhaustion();
void Exhausted();

// How much to take: one size for each kind of arena, as their units differ.
struct Request {
  size_t mapped_bytes;
  size_t static_bytes;
  size_t alignment;  // a power of two
};

struct Taken {
  Run* run = nullptr;  // null: no memory
  Arena* arena = nullptr;
  bool zeroed = false;  // the memory is known to be zero

  char* address() const { return run->base; }
};

Taken Take(const Request& request);

// Grows or shrinks a run at its end, in place. False if it cannot grow.
bool Resize(Arena* arena, Run* run, size_t units);

// Gives a run of `arena` back, and purges what is due. `dirty` tells that it
// may be other than zero.
void Return(Arena* arena, Run* run, bool dirty);

// The arena that holds an address or a descriptor; null for foreign ones.
Arena* ArenaOf(const void* address);
Arena* ArenaOfRun(const Run* run);

// Purges what is due, where no memory was returned, but might have been: near
// to `run`.
inline void PurgeIfPending(const Run* run) {
  if (Likely(!purge::IsPending())) return;
  Arena* arena = ArenaOfRun(run);
  if (arena->mapped()) purge::IfDue(arena);
}

// Gives free memory back to the system now, but for `keep` bytes. True if some
// was given back.
bool Trim(size_t keep = 0);

// The run that holds `address`: a slab's or a span's first unit. For an address
// behind the first unit of a span, or in free memory, some unit whose kind is
// kFree; for foreign ones null.
Run* RunAtSlow(const void* address);
inline Run* RunAt(const void* address) {
  const InPrimary primary(address);
  return Likely(static_cast<bool>(primary)) ? primary.unit()
                                            : RunAtSlow(address);
}

// The bytes of all arenas that are in use.
size_t UsedBytes();

// Where the arenas are found: for debuggers, everybody else asks ArenaAt.
constexpr int kMaxMapped = 96;
extern Arena static_arena __attribute__((visibility("hidden")));
extern AtomicWord mapped_arenas[kMaxMapped]  // Arena*, filled from the front
    __attribute__((visibility("hidden")));

// The i-th arena, the static heap first; null behind the last.
Arena* ArenaAt(int index);

}  // namespace aomalloc::memory

#endif  // AOMALLOC_CORE_MEMORY_H_
