#include "core/allocator.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "core/arena/ceiling.h"
#include "core/arena/move.h"
#include "core/arena/tails.h"
#include "core/base/probe.h"
#include "core/hardened_spans.h"
#include "core/heap/hardened_blocks.h"
#include "core/heap/misuse.h"
#include "core/loader.h"
#include "core/neighbour.h"
#include "core/report/statistics.h"
#include "core/samples.h"
#include "core/thread/visits.h"

namespace aomalloc {

const Neighbour* neighbour = nullptr;

namespace {

// Returns what `attempt` returns. If that is null, gives back the memory of
// empty slabs and tries once more. The caller has no claim.
template <typename Attempt>
auto WithReclaim(const Attempt& attempt) {
  auto result = attempt();
  if (result == nullptr) {
    hardened_spans::EndQuarantine();
    visits::TrimAll();
    result = attempt();
  }
  return result;
}

// Passes on a result of malloc. If it is null, sets errno, and has
// memory::Exhausted report that the static heap is full.
template <typename T>
T* OrNoMemory(T* result) {
  if (Unlikely(result == nullptr)) {
    memory::Exhausted();
    errno = ENOMEM;
  }
  return result;
}

// Makes a thread that has allocated nothing yet hold a heap.
[[gnu::noinline]] void GetHeap() {
  const ClaimFrame frame;
  Heap* heap = thread::ClaimHeap(frame);
  if (heap != nullptr) thread::Unclaim(heap, frame);
}

// The address of a span, made of a run that the thread's heap has kept; or
// null. Its contents are not known to be zero.
char* TakeKept(size_t size) {
  const bool mapped = memory::MmapEnabled();
  const int shift =
      mapped ? memory::kMappedUnitShift : memory::kStaticUnitShift;
  const size_t unit = size_t{1} << shift;
  if (size > RunCache::kMaxUnits * unit) return nullptr;
  Heap* heap = thread::current;
  if (Unlikely(heap == nullptr)) {
    GetHeap();  // it will keep the run
    return nullptr;
  }
  const ClaimFrame frame;
  if (!thread::ClaimHeld(heap, frame)) return nullptr;
  Run* run = heap->runs(mapped).Take((size + unit - 1) >> shift);
  heap->claim.Release();
  if (run == nullptr) return nullptr;
  tails::SetUpKept(run, unit, size);
  run->kind = RunKind::kSpan;
  slab::BreakSeal(run);
  return run->base;
}

// True if this thread's heap keeps the free run for its next slabs and spans.
bool Keep(Run* run) {
  Heap* heap = thread::current;
  if (run->units > RunCache::kMaxUnits || heap == nullptr) return false;
  const ClaimFrame frame;
  if (!thread::ClaimHeld(heap, frame)) return false;
  const bool kept = heap->runs(memory::IsMapped(run)).Keep(run);
  heap->claim.Release();
  return kept;
}

// Frees a span.
void ReturnSpan(Run* run) {
  samples::OnFree(run);
  tails::OnFree(run);
  if constexpr (hardened_spans::kAreReused) {
    if (Keep(run)) return memory::PurgeIfPending(run);
  } else {
    run = hardened_spans::Exchange(run);
    if (run == nullptr) return;
  }
  tails::Forget(run);
  memory::Return(run, /*dirty=*/true);
}

// The address of a new span, or null when there is no memory. `size` is at most
// PTRDIFF_MAX. Sets `*zeroed` to true if all of the span is known to be zero.
// `dense`: it is likely that all of it will be used. Of many buffers a program
// uses the beginning only, but one that grows was full.
char* TrySpan(size_t alignment, size_t size, bool* zeroed, bool dense = false) {
  const memory::Grant grant = memory::Take({size, size, alignment, dense});
  if (grant.run == nullptr) return nullptr;
  tails::SetUp(grant, size);
  grant.run->kind = RunKind::kSpan;
  if (!grant.zeroed) slab::BreakSeal(grant.run);
  *zeroed = grant.zeroed;
  statistics::NoteGrowth();
  hardened_spans::SetUp(grant.run, size);
  probe::NewSpan(grant.address(), size);
  return grant.address();
}

// The same, with a kept run if there is one, and with a sample if one is due.
// Sets errno if the result is null.
char* AllocateSpan(size_t alignment, size_t size, bool* zeroed) {
  char* span = nullptr;
  // No object may be larger: the difference of pointers into it would overflow
  // (C17 6.5.6). This also refuses what would wrap when it is rounded up. At
  // once: to give memory back would be in vain.
  if (size > PTRDIFF_MAX || alignment > PTRDIFF_MAX - size) {
    return OrNoMemory(span);
  }
  // A unit of either arena has at least this alignment.
  if (hardened_spans::kAreReused && alignment <= memory::kStaticUnitBytes) {
    *zeroed = false;
    span = TakeKept(size);
  }
  if (Unlikely(span == nullptr)) {
    span = OrNoMemory(
        WithReclaim([&] { return TrySpan(alignment, size, zeroed); }));
    if (span == nullptr) return nullptr;
  }
  if (Unlikely(profile::IsOn())) {
    samples::NoteSpan(memory::RunAt(span), size);
  }
  return span;
}

// Makes a free block a live one of `size` bytes.
void HandOut(Block* block, size_t size) {
  if constexpr (!hardening::kOn) return;
  const Run* run = memory::RunAt(block);
  if (run->kind == RunKind::kSpan) return;  // a sample
  if (!hardened::HandOut(run, block, size)) {
    Misuse("malloc", block, fault::kWritten);
  }
}

// A block from the slab behind the one that malloc has used up, or null if that
// takes more than to change from one to the other. (The hardened build comes
// here for each block.)
Block* TryNext(size_t size) {
  if constexpr (hardening::kOn) return nullptr;
  Heap* heap = thread::current;
  if (heap == nullptr || Unlikely(profile::IsOn())) return nullptr;
  const ClaimFrame frame;
  if (!heap->claim.Claim(frame)) {
    frame.Erase();
    return nullptr;
  }
  Block* block = heap->PopFromNext(ClassOf(size));
  heap->claim.Release();
  return block;
}

// A block for a size that fits a class, or null when there is no memory.
Block* TryBlock(size_t size) {
  const ClaimFrame frame;
  Heap* heap = thread::ClaimHeap(frame);
  if (heap == nullptr) return nullptr;
  const SizeClass size_class =
      heap->ClassToServe(ClassOf(size + hardening::kCanaryBytes));
  Block* block = heap->Pop(size_class);
  if (block == nullptr && Unlikely(profile::IsOn())) {
    block = samples::TakeIfDue(heap, size_class);
  }
  if (block == nullptr) block = heap->Refill(size_class);
  if (block == nullptr) {
    // Before new memory is taken, some may come back.
    visits::DrainNext(frame, heap);
    block = heap->Grow(size_class);
    statistics::NoteGrowth();
  }
  thread::Unclaim(heap, frame);
  if (block != nullptr) HandOut(block, size);
  return block;
}

// The slow path for such sizes. Not inlined, so that spans do not pay for its
// registers.
[[gnu::noinline]] void* AllocateBlock(size_t size) {
  if (Block* block = TryNext(size)) return block;
  const auto attempt = [&] { return TryBlock(size); };
  Block* block = WithReclaim(attempt);
  if (block == nullptr) {
    visits::RaidAll();
    block = attempt();
  }
  return OrNoMemory(block);
}

// The bytes that may be used of the live block at `ptr`, of `run`.
size_t UsableBytes(const Run* run, const void* ptr) {
  if (run->kind != RunKind::kSpan) return hardened::UsableBytes(run, ptr);
  return samples::IsSmall(run) ? run->sample_bytes : tails::Bytes(run);
}

// False if a live block was written to beyond its end, which is reported.
bool IsEndWhole(const Run* run, const void* ptr, const char* call) {
  if (run->kind == RunKind::kSpan || hardened::IsWhole(run, ptr)) return true;
  Misuse(call, ptr, fault::kOverflow);
  return false;
}

// Makes a live block one of `size` bytes, in place. False if it has no room for
// them, or if half of it would lie idle.
bool ResizeInPlace(Run* run, void* ptr, size_t old_size, size_t size) {
  if (run->kind == RunKind::kSlab) return hardened::Resize(run, ptr, size);
  const bool stays = hardened_spans::kAreReused || samples::IsSmall(run);
  const size_t bytes = samples::IsSmall(run) ? old_size : memory::BytesOf(run);
  if (size <= bytes / 2) return false;
  return stays ? size <= old_size : hardened_spans::Resize(run, size);
}

// Not 0 once realloc has left a block in place because there was no memory for
// a smaller one. Such a block may be much larger than the program has
// requested.
AtomicWord shrunk_in_place;

// True if a live block may be freed as one of `size` bytes.
bool MayBeFreedAs(size_t size, const Run* run, const void* ptr) {
  const size_t bytes = UsableBytes(run, ptr);
  // A class counts the canary as part of its size, and a sample has no canary.
  constexpr size_t kCanary = hardening::kCanaryBytes;
  const bool is_sample = run->kind == RunKind::kSpan && samples::IsSmall(run);
  if (is_sample && SizeFits(bytes + kCanary, size + kCanary)) return true;
  return SizeFits(bytes, size) ||
         (size <= bytes && LoadRelaxed(&shrunk_in_place) != 0);
}

// True if a live block starts at `ptr`; `run` is memory::RunAt(ptr).
inline bool IsLive(const Run* run, const void* ptr) {
  if (Unlikely(run == nullptr)) return false;
  if (Unlikely(run->kind != RunKind::kSlab)) {
    return run->kind == RunKind::kSpan && run->base == ptr;
  }
  return slab::IsBlock(run, ptr) &&
         !slab::IsFree(run, static_cast<const Block*>(ptr));
}

// Reports a pointer that is not a live block. A block of the dynamic loader is
// ignored without a report.
void ReportNotLive(const Run* run, const void* ptr, bool is_free,
                   const char* call) {
  if (run == nullptr && loader::Allocated(ptr)) return;
  const char* what = FaultOf(run, ptr);
  if (!is_free && what == fault::kDoubleFree) what = fault::kUseAfterFree;
  Misuse(call, ptr, what);
}

// Sees to a slab of which Push has returned true; false if its heap could not
// be claimed. The claim was released in between, so all is checked again: a
// handler may have given the slab back since.
bool OnZeroIn(Heap* heap, Run* slab) {
  const ClaimFrame frame;
  if (!thread::ClaimHeld(heap, frame)) return false;
  if (OwnerOf(slab) == heap && slab->list.used <= 0) {
    heap->OnZero(slab);
  }
  heap->claim.Release();
  return true;
}

// Moves a large span to a larger place, with its pages if possible. Null when
// there is no memory; then the span is as it was.
void* MoveSpan(Run* run, size_t size) {
  const size_t old_bytes = memory::BytesOf(run);
  bool zeroed;
  char* place = TrySpan(1, size, &zeroed, /*dense=*/true);
  if (place == nullptr) return nullptr;
  Run* to = memory::RunAt(place);
  // What the span grew by in place, after it was moved, is another mapping. It
  // is copied.
  size_t bytes = old_bytes;
  if (run->moved_units != 0) bytes = run->moved_units * memory::UnitBytes(run);
  // The new place may be in the static heap, where a unit may be smaller than a
  // page. And where small pages are moved from or to, no huge ones can be: so
  // less than one is copied.
  const bool breaks_huge =
      bytes < HugePages::kBytes && (memory::IsHuge(run) || memory::IsHuge(to));
  const bool pays =
      (zeroed || bytes >= move::kLeastIntoUsed) &&
      (size / move::kMostGrowth <= old_bytes || old_bytes > move::kMostCopied);
  const auto outcome = memory::IsMapped(to) && !breaks_huge && pays
                           ? move::Pages(run, bytes, to, memory::BytesOf(to))
                           : move::Outcome::kRefused;
  if (outcome == move::Outcome::kLost) return nullptr;
  const size_t moved = outcome == move::Outcome::kMoved ? bytes : 0;
  if (moved != 0) memory::SizePages(to);
  // The tail is not copied.
  const size_t used = tails::Bytes(run);
  if (moved < used) {
    move::Copy(run->base + moved, place + moved, used - moved,
               moved != 0 || (zeroed && outcome == move::Outcome::kRefused));
  }
  tails::OnFree(run);
  tails::Forget(run);
  samples::OnFree(run);
  samples::OnAllocate(to, size);
  // Pages that are moved leave zero behind.
  memory::Return(run, /*dirty=*/moved != old_bytes);
  return place;
}

// Makes a span larger, in place or elsewhere. Null if it has to be copied, or
// if there is no memory to move it.
void* GrowSpan(Run* run, size_t size) {
  const size_t unit_bytes = memory::UnitBytes(run);
  const size_t old_bytes = run->units * unit_bytes;
  if (size <= old_bytes || memory::Extend(run, size)) {
    tails::Grow(run, unit_bytes, size);
    samples::OnResize(run, size);
    return run->base;
  }
  const bool is_large = old_bytes >= move::kLeastBytes;
  return is_large && memory::IsMapped(run) ? MoveSpan(run, size) : nullptr;
}

// Changes the size of a span. Null as above.
void* ResizeSpan(Run* run, size_t size) {
  const size_t old_bytes = tails::Bytes(run);
  if (!hardened_spans::kAreReused) {
    if (!ResizeInPlace(run, run->base, old_bytes, size)) return nullptr;
  } else if (size <= old_bytes) {
    tails::Shrink(run, size);
  } else {
    return GrowSpan(run, size);
  }
  samples::OnResize(run, size);
  return run->base;
}

// A block for the contents of one that is to have `size` bytes and could not be
// resized. Sets errno if the result is null.
void* AllocateInPlaceOf(const Run* run, size_t old_size, size_t size) {
  const bool may_grow_on =
      !hardened_spans::kAreReused && run->kind == RunKind::kSpan &&
      !samples::IsSmall(run) && size > old_size && size <= PTRDIFF_MAX &&
      memory::IsMapped(run) && !ceiling::IsSet();
  bool zeroed;
  char* place = may_grow_on
                    ? TrySpan(1, hardened_spans::WithRoom(size), &zeroed)
                    : nullptr;
  if (place == nullptr) return Allocate(size);
  Run* span = memory::RunAt(place);
  hardened_spans::Resize(span, size);
  samples::OnAllocate(span, size);
  return place;
}

}  // namespace

void* AllocateSlow(size_t size) {
  if (Likely(size <= kMaxInSlab)) return AllocateBlock(size);
  bool zeroed;
  return AllocateSpan(1, size, &zeroed);
}

// Frees a block of another heap's slab as FreeLocal frees one of this heap's.
// False if it has to be looked at more closely; then nothing is done.
inline bool FreeRemote(Run* run, Block* block, size_t size) {
  if constexpr (hardening::kOn) return false;
  Owner* owner = OwnerOf(run);
  Heap* heap = thread::current;
  if (owner == nullptr || owner == heap || heap == nullptr ||
      (size != kAnySize && !SizeFits(slab::BlockSize(run), size)) ||
      !slab::IsWithin(Glance(run->carved_steps), run, block) ||
      block->MayBeLinked()) {
    return false;
  }
  const ClaimFrame frame;
  if (Unlikely(!heap->claim.Claim(frame))) {
    frame.Erase();
    return false;
  }
  Heap* crowded = heap->FreeForeign(owner, run, block);
  if (Unlikely(crowded != nullptr)) visits::Relieve(crowded, frame, heap);
  heap->claim.Release();
  return true;
}

// The arguments are those of FreeSized, and the descriptor that it has found.
[[gnu::noinline]] void FreeCarefully(void* ptr, Run* run, size_t size,
                                     const char* call) {
  if (Unlikely(!IsLive(run, ptr))) {
    if (ptr == nullptr) return;
    run = memory::RunAtSlow(ptr);
    if (run == nullptr) {
      const Neighbour* other = NeighbourOf(ptr);
      if (other != nullptr) return other->free(ptr);
    }
    if (!IsLive(run, ptr)) {
      return ReportNotLive(run, ptr, /*is_free=*/true, call);
    }
  }
  if (!IsEndWhole(run, ptr, call)) return;
  if (size != kAnySize && !MayBeFreedAs(size, run, ptr)) {
    return SizeMisuse(call, ptr, size);
  }
  if (run->kind == RunKind::kSpan) return ReturnSpan(run);
  hardened::TakeBack(run, ptr);
  auto* block = static_cast<Block*>(ptr);
  Owner* owner = OwnerOf(run);
  const ClaimFrame frame;
  Heap* heap = thread::ClaimForFree(frame);
  if (heap == nullptr) {
    owner->Remote(block, slab::BlockSize(run));
    return visits::RelieveWithoutHeap(static_cast<Heap*>(owner));
  }
  if (owner == heap) {
    heap->FreeSlowly(run, block);
  } else {
    Heap* crowded = heap->FreeForeign(owner, run, block);
    if (Unlikely(crowded != nullptr)) visits::Relieve(crowded, frame, heap);
  }
  thread::Unclaim(heap, frame);
}

void FreeSlow(void* ptr, Run* run, size_t size, const char* call) {
  // Most that come here free a block of another heap.
  if (Unlikely(run == nullptr) ||
      Unlikely(!FreeRemote(run, static_cast<Block*>(ptr), size))) {
    FreeCarefully(ptr, run, size, call);
  }
}

void OnZeroSlow(Run* slab) {
  // It need not be the current one any more.
  auto* heap = static_cast<Heap*>(OwnerOf(slab));
  if (heap == nullptr || LoadRelaxed(&heap->holder) != thread::ThisThread() ||
      OnZeroIn(heap, slab)) {
    return;
  }
  // Who takes the claim over that was in the way sees the note. If that was
  // just before, the heap can be claimed now.
  heap->NoteMissedZero(slab);
  OnZeroIn(heap, slab);
}

void* AllocateZeroedSlow(size_t size) {
  bool zeroed;
  void* ptr = AllocateSpan(1, size, &zeroed);
  if (ptr == nullptr || zeroed) return ptr;
  const Run* run = memory::RunAt(ptr);
  if (run->units > RunCache::kMaxUnits) {
    memory::ClearTaken(run, size);
  } else {
    memset(ptr, 0, size);  // the heap may have kept it
  }
  return ptr;
}

void* AllocateAlignedSlow(size_t alignment, size_t size) {
  // With mmap a slab is aligned to much more than in the static heap. But a
  // block may still come from there, when memory has run out.
  if (alignment <= kMaxSmall && size <= kMaxInSlab && memory::MmapEnabled()) {
    void* block = Allocate(SizeToAlign(size, alignment));
    const auto address = reinterpret_cast<uintptr_t>(block);
    if ((address & (alignment - 1)) == 0) return block;
    Free(block, "memalign");
  }
  bool zeroed;
  return AllocateSpan(alignment, size == 0 ? 1 : size, &zeroed);
}

void* Reallocate(void* ptr, size_t size, const char* call) {
  Run* run = memory::RunAt(ptr);
  if (Unlikely(!IsLive(run, ptr))) {
    run = memory::RunAtSlow(ptr);
    if (run == nullptr) {
      const Neighbour* other = NeighbourOf(ptr);
      if (other != nullptr) return other->reallocate(ptr, size);
    }
    if (!IsLive(run, ptr)) {
      ReportNotLive(run, ptr, /*is_free=*/false, call);
      errno = EINVAL;
      return nullptr;
    }
  }
  const bool is_span = run->kind == RunKind::kSpan;
  if (!IsEndWhole(run, ptr, call)) {
    errno = EINVAL;
    return nullptr;
  }
  const size_t old_size = UsableBytes(run, ptr);
  if (is_span && size > kMaxInSlab && size <= PTRDIFF_MAX) {
    void* resized = ResizeSpan(run, size);
    if (resized != nullptr) return resized;
  } else if (ResizeInPlace(run, ptr, old_size, size)) {
    return ptr;
  }
  void* moved = AllocateInPlaceOf(run, old_size, size);
  if (moved == nullptr) {
    if (size > old_size) return nullptr;
    // The block stays in place, and only its end is given back, if anything.
    StoreRelaxed(&shrunk_in_place, 1);
    if (is_span && hardened_spans::kAreReused && !samples::IsSmall(run)) {
      tails::Shrink(run, size);
    }
    return ptr;
  }
  // IsLive has made sure that ptr is not null.
  // NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker)
  memcpy(moved, ptr, old_size < size ? old_size : size);
  Free(ptr, call);
  return moved;
}

size_t UsableSize(const void* ptr, const char* call) {
  if (ptr == nullptr) return 0;
  const Run* run = memory::RunAt(ptr);
  if (Likely(IsLive(run, ptr))) return UsableBytes(run, ptr);
  run = memory::RunAtSlow(ptr);
  if (run == nullptr) {
    const Neighbour* other = NeighbourOf(ptr);
    if (other != nullptr) return other->usable_size(ptr);
  }
  if (IsLive(run, ptr)) return UsableBytes(run, ptr);
  ReportNotLive(run, ptr, /*is_free=*/false, call);
  return 0;
}

bool Trim(size_t keep) {
  hardened_spans::EndQuarantine();
  visits::TrimAll();
  if (!memory::MmapEnabled()) return false;
  const bool purged = visits::PurgeAll();
  return memory::Trim(keep) || purged;
}

bool HeapsAreValid() {
  const ClaimFrame frame;
  for (Heap* heap = thread::Registry(); heap != nullptr;
       heap = thread::Next(heap)) {
    if (LoadRelaxed(&heap->holder) != thread::ThisThread()) continue;
    if (!thread::ClaimHeld(heap, frame)) return false;
    const bool valid = heap->IsValid();
    heap->claim.Release();
    if (!valid) return false;
  }
  return true;
}

}  // namespace aomalloc
