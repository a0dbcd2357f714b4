// The malloc family of C17 7.22.3, POSIX and glibc 2.36.
//
// What is true of all functions here: blocks are aligned to 16 bytes, or more
// if that is requested. Sizes and alignments are in bytes. Functions that
// return a block return null and set errno to ENOMEM when there is no memory,
// or when the size exceeds PTRDIFF_MAX. A size of 0 gets a block of its own,
// which C17 7.22.3 and POSIX allow. A pointer that is not a live block is
// misuse (core/heap/misuse.h).
//
// All may be called from any thread and any signal handler, also from one that
// interrupted another of them. No standard promises this, and blocks of glibc's
// own heap are an exception (libc_heap.cc).
#include "preload/interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>

#include "core/allocator.h"
#include "core/base/os_memory.h"

// glibc's dladdr1(3).
extern "C" __attribute__((weak)) decltype(dladdr1) dladdr1;

#define EXPORT extern "C" __attribute__((visibility("default")))
// A second name for a function that is defined above.
#define ALIAS_OF(function) EXPORT __attribute__((alias(#function)))

namespace {

void* NoMemory() {
  errno = ENOMEM;
  return nullptr;
}

}  // namespace

// C17 7.22.3.4. The contents of the block are unspecified.
EXPORT void* malloc(size_t size) { return aomalloc::Allocate(size); }

// C17 7.22.3.3. `ptr` may be null; then nothing is done. errno is not changed,
// as POSIX.1-2024 demands.
EXPORT void free(void* ptr) { aomalloc::Free(ptr, "free"); }

// C17 7.22.3.2. A block of count * size bytes, all zero. ENOMEM, too, if the
// product overflows.
EXPORT void* calloc(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return NoMemory();
  return aomalloc::AllocateZeroed(bytes);
}

// C17 7.22.3.5. If `ptr` is null this is malloc(size). Otherwise a size of 0
// frees the block and returns null, as in glibc; C17 leaves that open. The
// contents are kept up to the smaller of the two sizes. On failure the block is
// as it was. errno is EINVAL in a case of misuse.
EXPORT void* realloc(void* ptr, size_t size) {
  if (ptr == nullptr) return aomalloc::Allocate(size);
  if (size == 0) {
    aomalloc::Free(ptr, "realloc");
    return nullptr;
  }
  return aomalloc::Reallocate(ptr, size, "realloc");
}

// POSIX.1-2024. realloc(ptr, count * size), but null and ENOMEM if the product
// overflows.
EXPORT void* reallocarray(void* ptr, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return NoMemory();
  return realloc(ptr, bytes);
}

// glibc manual, Allocating Aligned Memory Blocks. An alignment that is not a
// power of two is rounded up to one. EINVAL if there is none, as in glibc.
EXPORT void* memalign(size_t alignment, size_t size) {
  if (alignment > SIZE_MAX / 2 + 1) {
    errno = EINVAL;
    return nullptr;
  }
  if (alignment < aomalloc::kGranule) alignment = aomalloc::kGranule;
  if (!aomalloc::IsPowerOfTwo(alignment)) {
    alignment = size_t{2} << (63 - __builtin_clzl(alignment));
  }
  return aomalloc::AllocateAligned(alignment, size);
}

// POSIX. Stores the block in `*out`, and returns 0; `out` is not null. Returns
// EINVAL if `alignment` is not a power of two or not a multiple of
// sizeof(void*), and ENOMEM if there is no memory. Then `*out` is not changed.
// errno may be ENOMEM, too.
EXPORT int posix_memalign(void** out, size_t alignment, size_t size) {
  if (alignment % sizeof(void*) != 0 || !aomalloc::IsPowerOfTwo(alignment)) {
    return EINVAL;
  }
  void* ptr = aomalloc::AllocateAligned(alignment, size);
  if (ptr == nullptr) return ENOMEM;
  *out = ptr;
  return 0;
}

// glibc manual, the same section. A block that is aligned to a page.
EXPORT void* valloc(size_t size) {
  return aomalloc::AllocateAligned(aomalloc::os::PageSize(), size);
}

// glibc's memalign(3). The same, with the size rounded up to whole pages.
EXPORT void* pvalloc(size_t size) {
  const size_t page = aomalloc::os::PageSize();
  size_t rounded;
  if (__builtin_add_overflow(size, page - 1, &rounded)) return NoMemory();
  return aomalloc::AllocateAligned(page, rounded & ~(page - 1));
}

// glibc's malloc_usable_size(3). The bytes that may be used at `ptr`, at least
// as many as were requested. 0 if `ptr` is null, and in a case of misuse.
EXPORT size_t malloc_usable_size(void* ptr) {
  return aomalloc::UsableSize(ptr, "malloc_usable_size");
}

// C23 7.24.3. As free; `size` is the requested size. A size that the block
// cannot have is misuse.
EXPORT void free_sized(void* ptr, size_t size) {
  aomalloc::FreeSized(ptr, size, "free_sized");
}

// C23 7.24.3. The same for aligned_alloc; both arguments are those of its call.
EXPORT void free_aligned_sized(void* ptr, size_t alignment, size_t size) {
  aomalloc::FreeAlignedSized(ptr, alignment, size, "free_aligned_sized");
}

// As in glibc 2.36, aligned_alloc is memalign. So an alignment that is not a
// power of two is rounded up, where C17 7.22.3.1 demands null.
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

// This library's functions, even if the names lead to others.
extern "C" __attribute__((alias("malloc"), visibility("hidden"), malloc,
                          alloc_size(1))) void*
own_malloc(size_t size) noexcept;
extern "C" __attribute__((alias("memalign"), visibility("hidden"))) void*
own_aligned_alloc(size_t alignment, size_t size) noexcept;

extern "C" __attribute__((alias("calloc"), visibility("hidden"), malloc,
                          alloc_size(1, 2))) void*
own_calloc(size_t count, size_t size) noexcept;
extern "C" __attribute__((alias("realloc"), visibility("hidden"))) void*
own_realloc(void* ptr, size_t size) noexcept;

// True if malloc's address is that of a jump to it. A program at a fixed
// address has one where it takes the address, and then all others have to take
// that.
static bool MallocIsJump() {
  auto* address =
      reinterpret_cast<void*>(static_cast<void* (*)(size_t)>(malloc));
  Dl_info info;
  ElfW(Sym)* symbol = nullptr;
  return dladdr1 != nullptr &&
         dladdr1(address, &info, reinterpret_cast<void**>(&symbol),
                 RTLD_DL_SYMENT) != 0 &&
         symbol != nullptr && info.dli_saddr == address &&
         symbol->st_shndx == SHN_UNDEF;
}

bool aomalloc::preload::MallocAddressIsOurs() {
  return static_cast<void* (*)(size_t)>(malloc) == own_malloc;
}

bool aomalloc::preload::MallocIsOurs() {
  if (MallocAddressIsOurs()) return true;
  // Where the jump leads is not known. Who has malloc has these, too.
  return (static_cast<void* (*)(size_t, size_t)>(calloc) == own_calloc ||
          static_cast<void* (*)(void*, size_t)>(realloc) == own_realloc) &&
         MallocIsJump();
}

bool aomalloc::preload::AlignedAllocIsOurs() {
  return static_cast<void* (*)(size_t, size_t)>(aligned_alloc) ==
         own_aligned_alloc;
}
