// The malloc family, as C17 7.22.3, POSIX and glibc 2.36 have it. Every
// function here may be called from a signal handler, which none of these
// promise.
#include "preload/interpose.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "core/allocator.h"
#include "core/os.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
// A second name for a function that was just defined.
#define ALIAS_OF(function) EXPORT __attribute__((alias(#function)))

namespace {

void* NoMemory() {
  errno = ENOMEM;
  return nullptr;
}

}  // namespace

EXPORT void* malloc(size_t size) { return aomalloc::Allocate(size); }

EXPORT void free(void* ptr) { aomalloc::Free(ptr, "free"); }

EXPORT void* calloc(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return NoMemory();
  return aomalloc::AllocateZeroed(bytes);
}

// realloc(p, 0) frees p and returns null, as glibc does; C17 leaves it open.
EXPORT void* realloc(void* ptr, size_t size) {
  if (ptr == nullptr) return aomalloc::Allocate(size);
  if (size == 0) {
    aomalloc::Free(ptr, "realloc");
    return nullptr;
  }
  return aomalloc::Reallocate(ptr, size, "realloc");
}

EXPORT void* reallocarray(void* ptr, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return NoMemory();
  return realloc(ptr, bytes);
}

// glibc: rounds a strange alignment up to a power of two; EINVAL only when
// there is none.
EXPORT void* memalign(size_t alignment, size_t size) {
  if (alignment > SIZE_MAX / 2 + 1) {
    errno = EINVAL;
    return nullptr;
  }
  size_t power = aomalloc::kGranule;
  while (power < alignment) power *= 2;
  return aomalloc::AllocateAligned(power, size);
}

// Leaves *out alone on error, which it returns.
EXPORT int posix_memalign(void** out, size_t alignment, size_t size) {
  if (alignment % sizeof(void*) != 0 || !aomalloc::IsPowerOfTwo(alignment)) {
    return EINVAL;
  }
  void* ptr = aomalloc::AllocateAligned(alignment, size);
  if (ptr == nullptr) return ENOMEM;
  *out = ptr;
  return 0;
}

EXPORT void* valloc(size_t size) {
  return aomalloc::AllocateAligned(aomalloc::os::PageSize(), size);
}

EXPORT void* pvalloc(size_t size) {
  const size_t page = aomalloc::os::PageSize();
  size_t rounded;
  if (__builtin_add_overflow(size, page - 1, &rounded)) return NoMemory();
  return aomalloc::AllocateAligned(page, rounded & ~(page - 1));
}

EXPORT size_t malloc_usable_size(void* ptr) {
  return aomalloc::UsableSize(ptr, "malloc_usable_size");
}

// C23 7.24.3: free with what the caller knows of the block. A size that it
// cannot have is misuse.
EXPORT void free_sized(void* ptr, size_t size) {
  aomalloc::FreeSized(ptr, size, "free_sized");
}

EXPORT void free_aligned_sized(void* ptr, size_t alignment, size_t size) {
  aomalloc::FreeAlignedSized(ptr, alignment, size, "free_aligned_sized");
}

// In glibc 2.36 aligned_alloc is memalign; C17 7.22.3.1 allows that.
ALIAS_OF(memalign) void* aligned_alloc(size_t alignment, size_t size) noexcept;
ALIAS_OF(free) void cfree(void* ptr) noexcept;

ALIAS_OF(malloc) void* __libc_malloc(size_t size) noexcept;
ALIAS_OF(calloc) void* __libc_calloc(size_t count, size_t size) noexcept;
ALIAS_OF(realloc) void* __libc_realloc(void* ptr, size_t size) noexcept;
ALIAS_OF(free) void __libc_free(void* ptr) noexcept;
ALIAS_OF(memalign)
void* __libc_memalign(size_t alignment, size_t size) noexcept;
ALIAS_OF(valloc) void* __libc_valloc(size_t size) noexcept;
ALIAS_OF(pvalloc) void* __libc_pvalloc(size_t size) noexcept;
ALIAS_OF(reallocarray)
void* __libc_reallocarray(void* ptr, size_t count, size_t size) noexcept;
ALIAS_OF(posix_memalign)
int __posix_memalign(void** out, size_t alignment, size_t size) noexcept;

// Ours, whoever the name belongs to.
extern "C" __attribute__((alias("malloc"), visibility("hidden"), malloc,
                          alloc_size(1))) void*
own_malloc(size_t size) noexcept;

bool aomalloc::preload::MallocIsOurs() {
  return static_cast<void* (*)(size_t)>(malloc) == own_malloc;
}
