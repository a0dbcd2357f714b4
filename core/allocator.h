// The operations behind every entry point. All are signal-safe and lock-free;
// errno is the caller's affair unless said otherwise.
//
// Allocate and Free have a fast path inline: claim the thread's heap, pop or
// push a block, release. Anything unusual goes to the slow functions, with the
// claim released, so that the fast path calls nothing.
#ifndef AOMALLOC_CORE_ALLOCATOR_H_
#define AOMALLOC_CORE_ALLOCATOR_H_

#include <string.h>

#include <cstddef>

#include "core/claim.h"
#include "core/hardening.h"
#include "core/heap.h"
#include "core/likely.h"
#include "core/memory.h"
#include "core/thread.h"

namespace aomalloc {

// What a slab has room for; more is a span.
constexpr size_t kMaxInSlab = kMaxSmall - hardening::kCanaryBytes;

void* AllocateSlow(size_t size);
void* AllocateZeroedSlow(size_t size);
void* AllocateAlignedSlow(size_t alignment, size_t size);
void FreeSlow(void* ptr, Run* run, size_t size, const char* call);
void OnZeroSlow(Run* slab);

// A block of at least `size` bytes, aligned to kGranule; a size of 0 gets one
// of its own. Null, with errno ENOMEM, when there is no memory.
[[gnu::always_inline]] inline void* Allocate(size_t size) {
  if (Likely(!hardening::kOn && size <= kMaxInSlab)) {
    Heap* heap = thread::current;
    if (Likely(heap != nullptr)) {
      const ClaimFrame frame;
      if (Likely(heap->claim.Claim(frame))) {
        Block* block = heap->Pop(ClassOf(size));
        heap->claim.Release();
        if (Likely(block != nullptr)) return block;
      }
    }
  }
  return AllocateSlow(size);
}

// Frees a block if it belongs to the thread's current heap and that is not
// claimed. Apart from Free so that the frame is gone when a slow path is
// called.
enum class LocalFree { kDone, kZero, kNotOurs };
[[gnu::always_inline]] inline LocalFree FreeLocal(Run* slab, Block* block) {
  Heap* heap = thread::current;
  const AO_t owner = LoadRelaxed(&slab->owner);
  // A thread without a heap sees the owner of what is not a slab, but no block
  // starts there.
  if (Unlikely(owner != reinterpret_cast<AO_t>(heap)) ||
      Unlikely(!slab::IsBlockStart(slab, block)) ||
      Unlikely(block->MayBeLinked())) {
    return LocalFree::kNotOurs;
  }
  const ClaimFrame frame;
  if (Unlikely(!heap->claim.Claim(frame))) return LocalFree::kNotOurs;
  if (Unlikely(slab::Push(&slab->list, block))) {
    heap->claim.Release();
    return LocalFree::kZero;
  }
  heap->claim.Release();
  return LocalFree::kDone;
}

// True if a block of `block_size` bytes may be freed as one of `size`: if it
// may serve such a request, also after realloc has shrunk it where it was.
inline bool SizeFits(size_t block_size, size_t size) {
  return block_size - size <= (size | kGranule);  // wraps when it is too small
}

constexpr size_t kAnySize = ~size_t{0};  // stands for a size that is not known

// Frees a block; null is allowed. Any thread and handler may free any block.
// What is not a live block, or cannot be one of `size` bytes, is misuse
// (misuse.h), reported in the name of `call`.
[[gnu::always_inline]] inline void FreeSized(void* ptr, size_t size,
                                             const char* call) {
  const memory::InPrimary primary(ptr);
  Run* run;
  if (Likely(static_cast<bool>(primary))) {
    run = primary.unit();
  } else {
    run = memory::RunInStatic(ptr);
    if (Unlikely(run == nullptr)) return FreeSlow(ptr, nullptr, size, call);
  }
  if constexpr (hardening::kOn) return FreeSlow(ptr, run, size, call);
  const bool fits = size == kAnySize || SizeFits(slab::BlockSize(run), size);
  switch (Likely(fits) ? FreeLocal(run, static_cast<Block*>(ptr))
                       : LocalFree::kNotOurs) {
    case LocalFree::kDone:
      return;
    case LocalFree::kZero:
      return OnZeroSlow(run);
    case LocalFree::kNotOurs:
      return FreeSlow(ptr, run, size, call);
  }
}

[[gnu::always_inline]] inline void Free(void* ptr, const char* call) {
  FreeSized(ptr, kAnySize, call);
}

// As Allocate, but the block reads as zero.
inline void* AllocateZeroed(size_t size) {
  if (Unlikely(size > kMaxInSlab)) return AllocateZeroedSlow(size);
  void* ptr = Allocate(size);
  return Likely(ptr != nullptr) ? memset(ptr, 0, size) : nullptr;
}

// The size to ask Allocate for, so that blocks in slabs are aligned.
inline size_t SizeToAlign(size_t size, size_t alignment) {
  constexpr size_t kCanary = hardening::kCanaryBytes;
  return AlignedSize(size + kCanary, alignment) - kCanary;
}

// As Allocate, but aligned to `alignment`, a power of two.
inline void* AllocateAligned(size_t alignment, size_t size) {
  // A slab begins at a unit of whichever arena it comes from; the smaller one
  // bounds what its blocks can promise.
  if (Likely(alignment <= memory::kStaticUnitBytes && size <= kMaxInSlab)) {
    return Allocate(SizeToAlign(size, alignment));
  }
  return AllocateAlignedSlow(alignment, size);
}

// Frees a block that AllocateAligned has returned for such a request.
inline void FreeAlignedSized(void* ptr, size_t alignment, size_t size,
                             const char* call) {
  // Aligned to more, it is larger than the size says.
  if (alignment - 1 >= memory::kStaticUnitBytes) {
    size = kAnySize;
  } else if (size <= kMaxInSlab) {
    size = SizeToAlign(size, alignment);
  }
  FreeSized(ptr, size, call);
}

// Changes the size of a block, which may move; its contents are kept up to the
// smaller of the sizes. Null, with errno ENOMEM, when there is no memory; then
// the block is as it was. `size` is any but 0. Null too, with EINVAL, for what
// is not a live block.
void* Reallocate(void* ptr, size_t size, const char* call);

// Bytes that may be used at `ptr`; 0 for null, and for what is not a live
// block.
size_t UsableSize(const void* ptr, const char* call);

// Gives free memory back to the system now, but for `keep` bytes. True if some
// was given back.
bool Trim(size_t keep = 0);

// True when all heaps that this thread holds satisfy their invariants. To be
// called where no operation of the thread is interrupted.
bool HeapsAreValid();

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_ALLOCATOR_H_
