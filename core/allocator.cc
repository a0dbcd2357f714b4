#include "core/allocator.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "core/loader.h"
#include "core/misuse.h"
#include "core/neighbour.h"
#include "core/os.h"
#include "core/sampling.h"
#include "core/statistics.h"

namespace aomalloc {

const Neighbour* neighbour = nullptr;

namespace {

// From here on moving pages is cheaper than copying them.
constexpr size_t kMovePagesBytes = size_t{256} << 10;

// The hardened build: spans that were freed, and are not to be used again soon.
constexpr size_t kSpansInQuarantine = 16;
AtomicWord spans_in_quarantine[kSpansInQuarantine];  // Run*
AtomicWord spans_freed;

[[maybe_unused]] void ReturnSpansInQuarantine() {
  for (AtomicWord& slot : spans_in_quarantine) {
    const AO_t word = LoadRelaxed(&slot);
    if (word == 0 || !CasFull(&slot, word, 0)) continue;
    Run* run = reinterpret_cast<Run*>(word);
    memory::Return(memory::ArenaOfRun(run), run, /*dirty=*/false);
  }
}

// What `attempt` returns; if that is null, what it returns after a second try
// with the memory of empty slabs given back. The caller has no claim.
template <typename Attempt>
auto WithReclaim(const Attempt& attempt) {
  auto result = attempt();
  if (result == nullptr) {
    if constexpr (hardening::kOn) ReturnSpansInQuarantine();
    thread::TrimHeaps();
    result = attempt();
  }
  return result;
}

// Passes on what malloc returns; sets errno if that is null.
template <typename T>
T* OrNoMemory(T* result) {
  if (Unlikely(result == nullptr)) {
    memory::Exhausted();
    errno = ENOMEM;
  }
  return result;
}

// A span made of a run that the thread's heap has kept, or null.
char* TakeKept(size_t size) {
  const bool mapped = memory::MmapEnabled();
  const size_t unit =
      mapped ? memory::kMappedUnitBytes : memory::kStaticUnitBytes;
  if (size > RunCache::kMaxUnits * unit) return nullptr;
  const ClaimFrame frame;
  Heap* heap = thread::current;
  if (Unlikely(heap == nullptr)) {
    heap = thread::ClaimHeap(frame);  // for when it is freed
    if (heap == nullptr) return nullptr;
  } else if (Unlikely(!heap->claim.Claim(frame))) {
    return nullptr;
  }
  Run* run = heap->runs(mapped).Take((size + unit - 1) / unit);
  heap->claim.Release();
  if (run == nullptr) return nullptr;
  run->kind = RunKind::kSpan;
  return run->base;
}

// True if a run is not in the static heap.
bool IsMapped(const Run* run) {
  return memory::InPrimary(run->base) || memory::ArenaOfRun(run)->mapped();
}

// The hardened build: a span has a guard from its last page on, and is one when
// it was freed, until some more have been.

[[maybe_unused]] void GuardSpan(const memory::Taken& taken, size_t size) {
  Run* run = taken.run;
  const size_t bytes = run->units * taken.arena->unit_bytes();
  const size_t page = os::PageSize();
  const size_t used = (size + page - 1) & ~(page - 1);
  run->span_bytes = bytes;
  if (!taken.arena->mapped() || used >= bytes) return;
  run->span_bytes = used;
  os::Guard(run->base + used, bytes - used);
}

// Takes a span into quarantine; returns the one that leaves it, or null.
[[maybe_unused]] Run* ExchangeSpan(Run* run) {
  if (!IsMapped(run)) return run;
  os::Guard(run->base, size_t{run->units} << memory::kMappedUnitShift);
  run->kind = RunKind::kFree;
  AddRelaxed(&spans_freed, 1);
  AtomicWord* slot =
      &spans_in_quarantine[LoadRelaxed(&spans_freed) % kSpansInQuarantine];
  AO_t leaving;
  do {
    leaving = LoadRelaxed(slot);
  } while (!CasFull(slot, leaving, reinterpret_cast<AO_t>(run)));
  return reinterpret_cast<Run*>(leaving);
}

// Frees a span.
void ReturnSpan(Run* run) {
  if constexpr (hardening::kOn) {
    sampling::OnFree(run);
    if ((run = ExchangeSpan(run)) == nullptr) return;
    return memory::Return(memory::ArenaOfRun(run), run, !IsMapped(run));
  }
  sampling::OnFree(run);
  Heap* heap = thread::current;
  if (run->units <= RunCache::kMaxUnits && heap != nullptr) {
    const ClaimFrame frame;
    if (heap->claim.Claim(frame)) {
      const bool kept = heap->runs(IsMapped(run)).Keep(run);
      heap->claim.Release();
      if (kept) return memory::PurgeIfPending(run);
    }
  }
  memory::Return(memory::ArenaOfRun(run), run, /*dirty=*/true);
}

// A span's address; null when there is no memory. `*zeroed` tells whether it is
// known to be zero.
char* TrySpan(size_t alignment, size_t size, bool* zeroed) {
  // Also what would wrap when rounded up (C17 7.22.3 lets objects have at most
  // PTRDIFF_MAX bytes).
  if (size > PTRDIFF_MAX || alignment > PTRDIFF_MAX - size) return nullptr;
  const memory::Taken taken = memory::Take({size, size, alignment});
  if (taken.run == nullptr) return nullptr;
  taken.run->kind = RunKind::kSpan;
  *zeroed = taken.zeroed;
  statistics::NoteGrowth();
  if constexpr (hardening::kOn) GuardSpan(taken, size);
  return taken.address();
}

char* AllocateSpan(size_t alignment, size_t size, bool* zeroed) {
  char* span = nullptr;
  // A unit of either arena is aligned to a page.
  if (!hardening::kOn && alignment <= memory::kStaticUnitBytes) {
    *zeroed = false;
    span = TakeKept(size);
  }
  if (Unlikely(span == nullptr)) {
    span = OrNoMemory(
        WithReclaim([&] { return TrySpan(alignment, size, zeroed); }));
    if (span == nullptr) return nullptr;
  }
  sampling::OnAllocate(memory::RunAt(span), size);
  return span;
}

// Makes a live block of a free one, and the other way round, in the hardened
// build.

[[maybe_unused]] void Dress(Block* block, size_t size) {
  const Run* run = memory::RunAt(block);
  if (run->kind == RunKind::kSpan) return;  // a sample
  const size_t block_size = slab::BlockSize(run);
  if (!hardening::IsWiped(block, block_size)) {
    Misuse("malloc", block, fault::kWritten);
  }
  hardening::Dress(block, block_size, size);
}

// A block for a size that fits a class; null when there is no memory.
Block* TryBlock(size_t size) {
  const ClaimFrame frame;
  Heap* heap = thread::ClaimHeap(frame);
  if (heap == nullptr) return nullptr;
  const SizeClass size_class =
      heap->ClassToServe(ClassOf(size + hardening::kCanaryBytes));
  Block* block = heap->Pop(size_class);
  if (block == nullptr && Unlikely(profile::IsOn())) {
    block = sampling::TakeIfDue(heap, size_class);
  }
  if (block == nullptr) block = heap->Refill(size_class);
  if (block == nullptr) {
    // Before asking for memory, see that some comes back.
    thread::DrainIdleHeap(frame);
    block = heap->Grow(size_class);
    statistics::NoteGrowth();
  }
  heap->claim.Release();
  if constexpr (hardening::kOn) {
    if (block != nullptr) Dress(block, size);
  }
  return block;
}

size_t SpanBytes(const Run* run) {
  if constexpr (hardening::kOn) return run->span_bytes;
  return run->units * memory::ArenaOfRun(run)->unit_bytes();
}

// The size of the block at the start of a span, or of those of a slab.
size_t UsableBytes(const Run* run, const void* ptr) {
  if (run->kind == RunKind::kSpan) {
    return sampling::IsSmall(run) ? run->sample_bytes : SpanBytes(run);
  }
  const size_t size = slab::BlockSize(run);
  if constexpr (hardening::kOn) return hardening::SizeOf(ptr, size);
  return size;
}

// The hardened build: false, after a report, if a live block was written to
// beyond its end, which then tells no size either.
[[maybe_unused]] bool IsEndWhole(const Run* run, const void* ptr,
                                 const char* call) {
  if (run->kind == RunKind::kSpan ||
      hardening::IsWhole(ptr, slab::BlockSize(run))) {
    return true;
  }
  Misuse(call, ptr, fault::kOverflow);
  return false;
}

[[maybe_unused]] bool Redress(const Run* run, void* ptr, size_t size) {
  const size_t block_size = slab::BlockSize(run);
  if (size > block_size - hardening::kCanaryBytes || size <= block_size / 2) {
    return false;
  }
  hardening::Dress(ptr, block_size, size);
  return true;
}

// Set when realloc has left a block where it was for want of memory: it may be
// much larger than the program asked for.
AtomicWord shrunk_in_place;

// True if a live block may be one of `size` bytes.
bool MayBeFreedAs(size_t size, const Run* run, const void* ptr) {
  // A sample has the size of a class, which the canary is part of.
  if constexpr (hardening::kOn) {
    if (run->kind == RunKind::kSpan && sampling::IsSmall(run)) return true;
  }
  const size_t bytes = UsableBytes(run, ptr);
  return SizeFits(bytes, size) ||
         (size <= bytes && LoadRelaxed(&shrunk_in_place) != 0);
}

// True if there is a live block at `ptr`, and `run` is its run.
inline bool IsLive(const Run* run, const void* ptr) {
  if (Unlikely(run == nullptr)) return false;
  if (Unlikely(run->kind != RunKind::kSlab)) {
    return run->kind == RunKind::kSpan && run->base == ptr;
  }
  // The count of carved blocks would be exact, but its line is the owner's.
  return slab::IsBlock(run, ptr) &&
         !slab::IsFree(run, static_cast<const Block*>(ptr));
}

// Reports what is not a live block, unless it is the dynamic loader's, which is
// left alone.
void ReportNotLive(const Run* run, const void* ptr, bool is_free,
                   const char* call) {
  if (run == nullptr && loader::Allocated(ptr)) return;
  const char* what = FaultOf(run, ptr);
  if (!is_free && what == fault::kDoubleFree) what = fault::kUseAfterFree;
  Misuse(call, ptr, what);
}

// Grows or shrinks a span where it is, or by moving its pages. Null if it has
// to be copied.
void* ResizeSpan(Run* run, void* ptr, size_t size) {
  Arena* arena = memory::ArenaOfRun(run);
  const size_t units = arena->UnitsFor(size);
  const size_t old_bytes = SpanBytes(run);
  if constexpr (hardening::kOn) {
    if (size > old_bytes || size <= old_bytes / 2) return nullptr;
    sampling::OnResize(run, size);
    return ptr;
  }
  if (units <= run->units && size > old_bytes / 2) {
    memory::Resize(arena, run, units);
    sampling::OnResize(run, size);
    return ptr;
  }
  if (units <= run->units) return nullptr;
  if (memory::Resize(arena, run, units)) {
    sampling::OnResize(run, size);
    return ptr;
  }
  if (!arena->mapped() || old_bytes < kMovePagesBytes) return nullptr;
  bool zeroed;
  void* moved = TrySpan(1, size, &zeroed);
  if (moved == nullptr) return nullptr;
  sampling::OnFree(run);
  sampling::OnAllocate(memory::RunAt(moved), size);
  if (os::MovePages(ptr, moved, old_bytes)) {
    // What is left behind reads as zero.
    memory::Return(arena, run, /*dirty=*/false);
  } else {
    memcpy(moved, ptr, old_bytes);
    memory::Return(arena, run, /*dirty=*/true);
  }
  return moved;
}

}  // namespace

void* AllocateSlow(size_t size) {
  bool zeroed;
  if (size > kMaxInSlab) return AllocateSpan(1, size, &zeroed);
  const auto attempt = [&] { return TryBlock(size); };
  Block* block = WithReclaim(attempt);
  if (block == nullptr) {
    thread::RaidHeaps();
    block = attempt();
  }
  return OrNoMemory(block);
}

// `run` is null if it is neither in the primary arena nor in the static heap.
void FreeSlow(void* ptr, Run* run, size_t size, const char* call) {
  if (run == nullptr) {
    if (ptr == nullptr) return;
    run = memory::RunAt(ptr);
    if (run == nullptr) {
      const Neighbour* other = NeighbourOf(ptr);
      if (other != nullptr) return other->free(ptr);
    }
  }
  if (Unlikely(!IsLive(run, ptr))) {
    return ReportNotLive(run, ptr, /*is_free=*/true, call);
  }
  if constexpr (hardening::kOn) {
    if (!IsEndWhole(run, ptr, call)) return;
  }
  if (size != kAnySize && !MayBeFreedAs(size, run, ptr)) {
    return SizeMisuse(call, ptr, size);
  }
  if (run->kind == RunKind::kSpan) return ReturnSpan(run);
  if constexpr (hardening::kOn) hardening::Wipe(ptr, slab::BlockSize(run));
  auto* block = static_cast<Block*>(ptr);
  auto* owner = reinterpret_cast<Heap*>(LoadRelaxed(&run->owner));
  const ClaimFrame frame;
  Heap* heap = thread::ClaimForFree(frame);
  if (heap == nullptr) return owner->Remote(block, slab::BlockSize(run));
  if (owner == heap) {
    heap->Free(run, block);
  } else {
    heap->FreeForeign(owner, run, block);
  }
  heap->claim.Release();
}

// The claim was released in between, so look again: a handler may have come
// here first and given the slab away.
void OnZeroSlow(Run* slab) {
  Heap* heap = thread::current;
  const ClaimFrame frame;
  if (heap == nullptr || !heap->claim.Claim(frame)) return;
  if (LoadRelaxed(&slab->owner) == reinterpret_cast<AO_t>(heap) &&
      slab->list.used <= 0) {
    heap->OnZero(slab);
  }
  heap->claim.Release();
}

void* AllocateZeroedSlow(size_t size) {
  bool zeroed;
  void* ptr = AllocateSpan(1, size, &zeroed);
  if (ptr != nullptr && !zeroed) memset(ptr, 0, size);
  return ptr;
}

void* AllocateAlignedSlow(size_t alignment, size_t size) {
  bool zeroed;
  return AllocateSpan(alignment, size == 0 ? 1 : size, &zeroed);
}

void* Reallocate(void* ptr, size_t size, const char* call) {
  Run* run = memory::RunAt(ptr);
  if (Unlikely(run == nullptr)) {
    const Neighbour* other = NeighbourOf(ptr);
    if (other != nullptr) return other->reallocate(ptr, size);
  }
  if (Unlikely(!IsLive(run, ptr))) {
    ReportNotLive(run, ptr, /*is_free=*/false, call);
    errno = EINVAL;
    return nullptr;
  }
  const bool is_span = run->kind == RunKind::kSpan;
  if constexpr (hardening::kOn) {
    if (!IsEndWhole(run, ptr, call)) {
      errno = EINVAL;
      return nullptr;
    }
  }
  const size_t old_size = UsableBytes(run, ptr);
  if (is_span && size > kMaxInSlab && size <= PTRDIFF_MAX) {
    void* resized = ResizeSpan(run, ptr, size);
    if (resized != nullptr) return resized;
  } else if (hardening::kOn && !is_span) {
    if (Redress(run, ptr, size)) return ptr;
  } else if (size <= old_size && size > old_size / 2) {
    return ptr;
  }
  void* moved = Allocate(size);
  if (moved == nullptr) {
    if (size > old_size) return nullptr;
    // It shrinks where it is, if not as tidily.
    StoreRelaxed(&shrunk_in_place, 1);
    if (is_span && !hardening::kOn) {
      Arena* arena = memory::ArenaOfRun(run);
      memory::Resize(arena, run, arena->UnitsFor(size));
    }
    return ptr;
  }
  // IsLive has seen to it that ptr is not null.
  // NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker)
  memcpy(moved, ptr, old_size < size ? old_size : size);
  Free(ptr, call);
  return moved;
}

size_t UsableSize(const void* ptr, const char* call) {
  if (ptr == nullptr) return 0;
  const Run* run = memory::RunAt(ptr);
  if (run == nullptr) {
    const Neighbour* other = NeighbourOf(ptr);
    if (other != nullptr) return other->usable_size(ptr);
  }
  if (Likely(IsLive(run, ptr))) return UsableBytes(run, ptr);
  ReportNotLive(run, ptr, /*is_free=*/false, call);
  return 0;
}

bool Trim(size_t keep) {
  if constexpr (hardening::kOn) ReturnSpansInQuarantine();
  thread::TrimHeaps();
  return memory::MmapEnabled() && memory::Trim(keep);
}

bool HeapsAreValid() {
  const ClaimFrame frame;
  for (Heap* heap = thread::Registry(); heap != nullptr;
       heap = thread::Next(heap)) {
    if (LoadRelaxed(&heap->holder) != thread::ThisThread()) continue;
    if (!heap->claim.Claim(frame)) return false;
    const bool valid = heap->IsValid();
    heap->claim.Release();
    if (!valid) return false;
  }
  return true;
}

}  // namespace aomalloc
