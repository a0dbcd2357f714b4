// The operations behind every entry point. All are lock-free and signal-safe,
// also in a handler that interrupted another of them. They leave errno alone
// unless their comment says otherwise. (A block of a neighbour is passed on to
// it, and its functions promise less: see neighbour.h.)
//
// Allocate and Free have an inline fast path: claim the thread's heap, pop or
// push a block, release. Anything unusual is left to the slow functions, which
// are called with the claim released. So the fast path calls nothing.
#ifndef AOMALLOC_CORE_ALLOCATOR_H_
#define AOMALLOC_CORE_ALLOCATOR_H_

#include <string.h>

#include <cstddef>

#include "core/arena/memory.h"
#include "core/base/hardening.h"
#include "core/base/likely.h"
#include "core/heap/claim.h"
#include "core/heap/heap.h"
#include "core/thread/thread.h"

namespace aomalloc {

// The largest request, in bytes, for which a slab has room. A larger one gets a
// span.
constexpr size_t kMaxInSlab = kMaxSmall - hardening::kCanaryBytes;

// The slow functions take the arguments of the inline functions below, and do
// all that these do. AllocateZeroedSlow is for sizes beyond kMaxInSlab.
// AllocateAlignedSlow is for those, and for alignments that not every slab has.
void* AllocateSlow(size_t size);
void* AllocateZeroedSlow(size_t size);
void* AllocateAlignedSlow(size_t alignment, size_t size);
// `run` is the descriptor at `ptr`. It is null if `ptr` is neither in the
// primary arena nor in the static heap; then the other arenas are searched.
void FreeSlow(void* ptr, Run* run, size_t size, const char* call);
// To be called after slab::Push has returned true, and the claim was released.
void OnZeroSlow(Run* slab);

// A block of at least `size` bytes, aligned to kGranule, whose contents are
// unspecified. A size of 0 gets a block of its own, which C17 7.22.3 allows.
// Null, and errno is ENOMEM, when there is no memory, or when `size` exceeds
// PTRDIFF_MAX.
[[gnu::always_inline]] inline void* Allocate(size_t size) {
  if (Likely(!hardening::kOn && size <= kMaxInSlab)) {
    Heap* heap = thread::current;
    if (Likely(heap != nullptr)) {
      const ClaimFrame frame;
      if (Likely(heap->claim.Claim(frame))) {
        Block* block = heap->Pop(ClassOf(size));
        heap->claim.Release();
        if (Likely(block != nullptr)) return block;
      } else {
        frame.Erase();
      }
    }
  }
  return AllocateSlow(size);
}

// Frees a block of a slab of the thread's current heap, if nobody has claimed
// that heap. After kZero, OnZeroSlow has to be called. After kNotOurs, nothing
// is done yet. This is not part of FreeSized, so that the frame is gone when a
// slow function is called.
enum class LocalFree { kDone, kZero, kNotOurs };
[[gnu::always_inline]] inline LocalFree FreeLocal(Run* slab, Block* block) {
  Heap* heap = thread::current;
  // In a thread without a heap, both sides are null for a run that is not a
  // slab. But no block was carved there.
  if (Unlikely(OwnerOf(slab) != heap) ||
      Unlikely(!slab::IsCarved(slab, block)) ||
      Unlikely(block->MayBeLinked())) {
    return LocalFree::kNotOurs;
  }
  const ClaimFrame frame;
  if (Unlikely(!heap->claim.Claim(frame))) {
    frame.Erase();
    return LocalFree::kNotOurs;
  }
  if (Unlikely(slab::Push(&slab->list, block))) {
    heap->claim.Release();
    return LocalFree::kZero;
  }
  heap->claim.Release();
  return LocalFree::kDone;
}

// True if a block of `block_size` usable bytes may be freed as one of `size`:
// malloc gives such a block for that request, or realloc has left it in place
// when it was shrunk to that size.
inline bool SizeFits(size_t block_size, size_t size) {
  return block_size - size <= (size | kGranule);  // wraps when it is too small
}

constexpr size_t kAnySize = ~size_t{0};  // stands for a size that is not known

// Frees a block. `ptr` may be null; then nothing is done. Any thread and any
// handler may free any block. `size` is the number of bytes that the program
// has requested, or kAnySize. If `ptr` is not a live block, or cannot be one of
// `size` bytes, that is misuse (misuse.h), reported as a call of `call`.
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

// The same, without a size.
[[gnu::always_inline]] inline void Free(void* ptr, const char* call) {
  FreeSized(ptr, kAnySize, call);
}

// As Allocate, but the first `size` bytes are zero.
inline void* AllocateZeroed(size_t size) {
  if (Unlikely(size > kMaxInSlab)) return AllocateZeroedSlow(size);
  void* ptr = Allocate(size);
  return Likely(ptr != nullptr) ? memset(ptr, 0, size) : nullptr;
}

// The size to request from Allocate, for a block in a slab that has `size`
// bytes and is aligned to `alignment`, a power of two.
inline size_t SizeToAlign(size_t size, size_t alignment) {
  constexpr size_t kCanary = hardening::kCanaryBytes;
  return AlignedSize(size + kCanary, alignment) - kCanary;
}

// As Allocate, but the block is aligned to `alignment` bytes, a power of two.
inline void* AllocateAligned(size_t alignment, size_t size) {
  // A slab begins at a unit of an arena. So the smaller units, those of the
  // static heap, limit the alignment that its blocks can have.
  if (Likely(alignment <= memory::kStaticUnitBytes && size <= kMaxInSlab)) {
    return Allocate(SizeToAlign(size, alignment));
  }
  return AllocateAlignedSlow(alignment, size);
}

// As FreeSized, for a block that AllocateAligned has returned for this
// alignment and this size.
inline void FreeAlignedSized(void* ptr, size_t alignment, size_t size,
                             const char* call) {
  // With a larger alignment, the block is larger than `size` says. With 0,
  // which is no alignment, nothing is known of its size.
  if (alignment - 1 >= memory::kStaticUnitBytes) {
    size = kAnySize;
  } else if (size <= kMaxInSlab) {
    size = SizeToAlign(size, alignment);
  }
  FreeSized(ptr, size, call);
}

// Changes the size of the live block at `ptr` to `size` bytes. `ptr` is not
// null, and `size` is not 0. The block may move. Its contents are kept, up to
// the smaller of the two sizes. Returns the block's address. Returns null on
// failure, and the block is as it was. Then errno is
//
//   ENOMEM  if there is no memory for a larger block. (To make a block smaller
//           never fails, but may set errno, too.)
//   EINVAL  in a case of misuse (misuse.h): `ptr` is not a live block or, in
//           the hardened build, the block was written to beyond its end.
void* Reallocate(void* ptr, size_t size, const char* call);

// The bytes that may be used at `ptr`, at least as many as were requested; 0
// for null. If `ptr` is not a live block, that is misuse, and the result is 0.
size_t UsableSize(const void* ptr, const char* call);

// Gives free memory back to the system at once, but for `keep` bytes of each
// mapped arena. True if some was given back. Without mmap none is.
bool Trim(size_t keep = 0);

// For tests: true if all heaps of this thread satisfy their invariants. To be
// called where no operation of this thread is interrupted.
bool HeapsAreValid();

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_ALLOCATOR_H_
