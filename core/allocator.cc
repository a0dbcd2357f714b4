#include "core/allocator.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "core/neighbour.h"
#include "core/os.h"
#include "core/report.h"
#include "core/sampling.h"
#include "core/statistics.h"

namespace aomalloc {

const Neighbour* neighbour = nullptr;

namespace {

// From here on moving pages is cheaper than copying them.
constexpr size_t kMovePagesBytes = size_t{256} << 10;

// What `attempt` returns; if that is null, what it returns after a second try
// with the memory of empty slabs given back. The caller has no claim.
template <typename Attempt>
auto WithReclaim(const Attempt& attempt) {
  auto result = attempt();
  if (result == nullptr) {
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

// Frees a span.
void ReturnSpan(Run* run) {
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
  return taken.address();
}

char* AllocateSpan(size_t alignment, size_t size, bool* zeroed) {
  char* span = nullptr;
  // A unit of either arena is aligned to a page.
  if (alignment <= memory::kStaticUnitBytes) {
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

// A block for a size that fits a class; null when there is no memory.
Block* TryBlock(size_t size) {
  const ClaimFrame frame;
  Heap* heap = thread::ClaimHeap(frame);
  if (heap == nullptr) return nullptr;
  const SizeClass size_class = heap->ClassToServe(ClassOf(size));
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
  return block;
}

size_t SpanBytes(const Run* run) {
  return run->units * memory::ArenaOfRun(run)->unit_bytes();
}

// The size of a block.
size_t BlockBytes(const Run* run) {
  if (run->kind == RunKind::kSlab) return slab::BlockSize(run);
  return sampling::IsSmall(run) ? run->sample_bytes : SpanBytes(run);
}

// Reports what is not the run of a block at `ptr`: null and foreign pointers,
// free memory, and addresses inside a block.
inline void CheckBlock(const Run* run, const void* ptr, const char* call) {
  if (Unlikely(run == nullptr)) {
    Misuse(call, ptr, "not a block of this allocator");
  }
  if (Likely(run->kind == RunKind::kSlab)) {
    if (Likely(slab::BlockStart(run, ptr) == ptr)) return;
    Misuse(call, ptr, "inside a block");
  }
  if (run->kind != RunKind::kSpan) {
    Misuse(call, ptr, "not a live block (free already, or never allocated)");
  }
  if (run->base != ptr) Misuse(call, ptr, "inside a block");
}

// Grows or shrinks a span where it is, or by moving its pages. Null if it has
// to be copied.
void* ResizeSpan(Run* run, void* ptr, size_t size) {
  Arena* arena = memory::ArenaOfRun(run);
  const size_t units = arena->UnitsFor(size);
  const size_t old_bytes = SpanBytes(run);
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
  if (size > kMaxSmall) return AllocateSpan(1, size, &zeroed);
  const auto attempt = [&] { return TryBlock(size); };
  Block* block = WithReclaim(attempt);
  if (block == nullptr) {
    thread::RaidHeaps();
    block = attempt();
  }
  return OrNoMemory(block);
}

// `run` is null if it is neither in the primary arena nor in the static heap.
void FreeSlow(void* ptr, Run* run, const char* call) {
  if (run == nullptr) {
    if (ptr == nullptr) return;
    run = memory::RunAt(ptr);
    if (run == nullptr) {
      const Neighbour* other = NeighbourOf(ptr);
      if (other != nullptr) return other->free(ptr);
    }
  }
  CheckBlock(run, ptr, call);
  if (run->kind == RunKind::kSpan) return ReturnSpan(run);
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
  CheckBlock(run, ptr, call);
  const bool is_span = run->kind == RunKind::kSpan;
  const size_t old_size = BlockBytes(run);
  if (is_span && size > kMaxSmall && size <= PTRDIFF_MAX) {
    void* resized = ResizeSpan(run, ptr, size);
    if (resized != nullptr) return resized;
  } else if (size <= old_size && size > old_size / 2) {
    return ptr;
  }
  void* moved = Allocate(size);
  if (moved == nullptr) {
    if (size > old_size) return nullptr;
    // It shrinks where it is, if not as tidily.
    if (is_span) {
      Arena* arena = memory::ArenaOfRun(run);
      memory::Resize(arena, run, arena->UnitsFor(size));
    }
    return ptr;
  }
  // CheckBlock has seen to it that ptr is not null.
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
  CheckBlock(run, ptr, call);
  return BlockBytes(run);
}

bool Trim(size_t keep) {
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
