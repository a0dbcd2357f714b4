// jemalloc's own names for what malloc does (jemalloc(3), non-standard API),
// but for mallctl and what goes with it. A program that is linked to jemalloc
// may call them beside malloc_usable_size and free, as redis-server and BIND
// do. If they led to jemalloc, its blocks would be strange to us.
//
// What interpose.cc says of its functions is true of these, too. Of the flags
// the alignment and MALLOCX_ZERO count. Arenas and caches are jemalloc's.
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/allocator.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr unsigned kAlignmentBits = 0x3f;  // its logarithm
constexpr unsigned kZero = 0x40;

size_t AlignmentOf(int flags) {
  const size_t alignment = size_t{1}
                           << (static_cast<unsigned>(flags) & kAlignmentBits);
  return alignment > aomalloc::kGranule ? alignment : aomalloc::kGranule;
}

bool IsZeroed(int flags) { return (static_cast<unsigned>(flags) & kZero) != 0; }

// Clears what may be used behind the first `from` bytes. With MALLOCX_ZERO, all
// of a block is zero that nobody has written to, or rallocx could not go on
// from there.
void* Clear(void* ptr, size_t from, const char* call) {
  const size_t bytes = aomalloc::UsableSize(ptr, call);
  if (bytes > from) memset(static_cast<char*>(ptr) + from, 0, bytes - from);
  return ptr;
}

// As Reallocate, but the block is aligned to `alignment`.
void* ReallocateAligned(void* ptr, size_t alignment, size_t size,
                        const char* call) {
  // It comes first: once the block has moved, nothing may fail.
  void* aligned = aomalloc::AllocateAligned(alignment, size);
  if (aligned == nullptr) return nullptr;
  void* moved = aomalloc::Reallocate(ptr, size, call);
  if (moved == nullptr || reinterpret_cast<uintptr_t>(moved) % alignment == 0) {
    aomalloc::Free(aligned, call);
    return moved;
  }
  memcpy(aligned, moved, size);
  aomalloc::Free(moved, call);
  return aligned;
}

}  // namespace

// As malloc.
EXPORT void* mallocx(size_t size, int flags) {
  const size_t alignment = AlignmentOf(flags);
  if (!IsZeroed(flags)) return aomalloc::AllocateAligned(alignment, size);
  if (alignment == aomalloc::kGranule) {
    void* ptr = aomalloc::AllocateZeroed(size);
    return ptr == nullptr ? ptr : Clear(ptr, size, "mallocx");
  }
  void* ptr = aomalloc::AllocateAligned(alignment, size);
  return ptr == nullptr ? ptr : Clear(ptr, 0, "mallocx");
}

// As realloc, but a size of 0 is one of 1. With MALLOCX_ZERO, what is beyond
// the old block's usable size is zero.
EXPORT void* rallocx(void* ptr, size_t size, int flags) {
  if (ptr == nullptr) return mallocx(size, flags);
  if (size == 0) size = 1;
  const size_t alignment = AlignmentOf(flags);
  const size_t before =
      IsZeroed(flags) ? aomalloc::UsableSize(ptr, "rallocx") : 0;
  void* moved = alignment == aomalloc::kGranule
                    ? aomalloc::Reallocate(ptr, size, "rallocx")
                    : ReallocateAligned(ptr, alignment, size, "rallocx");
  if (moved == nullptr || !IsZeroed(flags)) return moved;
  return Clear(moved, before < size ? before : size, "rallocx");
}

// As malloc_usable_size.
EXPORT size_t sallocx(const void* ptr, int /*flags*/) {
  return aomalloc::UsableSize(ptr, "sallocx");
}

// Changes the size of a block in place, and returns its usable size. It may
// fail, and always does.
EXPORT size_t xallocx(void* ptr, size_t /*size*/, size_t /*extra*/,
                      int /*flags*/) {
  return aomalloc::UsableSize(ptr, "xallocx");
}

// As free.
EXPORT void dallocx(void* ptr, int /*flags*/) {
  aomalloc::Free(ptr, "dallocx");
}

// As free_sized, but any size will do from the requested to the usable one.
// With an alignment these may be far apart, so that any size will do.
EXPORT void sdallocx(void* ptr, size_t size, int flags) {
  const bool is_known = AlignmentOf(flags) == aomalloc::kGranule;
  aomalloc::FreeSized(ptr, is_known ? size : aomalloc::kAnySize, "sdallocx");
}

// The usable size that a block of mallocx has at least; 0 if there cannot be
// one.
EXPORT size_t nallocx(size_t size, int /*flags*/) {
  return size <= PTRDIFF_MAX ? size : 0;
}
