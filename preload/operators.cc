// operator new and delete, in all forms (C++17 [new.delete]).
//
// What is true of all: blocks are aligned to 16 bytes, or to the given
// alignment if that is more. A size of 0 gets a block of its own. The forms of
// delete allow null, and do nothing then. They do not change errno. A pointer
// that is not a live block is misuse (core/heap/misuse.h).
//
// A program may replace some of the forms. So those that the standard defines
// in terms of others call these by their names: because of
// -fsemantic-interposition, the dynamic loader decides which function is
// called.
//
// If there is no memory, the program's C++ runtime has to run the new-handler
// loop and throw the exception. Its own operator new does that, and calls our
// malloc. It is looked up only then. So a C program needs no C++ runtime, and a
// runtime that is loaded late by dlopen is found.
//
// The runtime's operators call malloc and free by these names. A program may
// have its own, or another library that is preloaded, such as a profiler. Then
// these operators call them, too: the program may ask its malloc_usable_size
// about what it got by new, and a profiler wants to see it.
//
// All are signal-safe, except when there is no memory: then they are as safe as
// dlsym, dlopen and the runtime are. What a program has replaced is as safe as
// the program makes it.
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <initializer_list>
#include <new>

#include "core/allocator.h"
#include "core/base/likely.h"
#include "core/base/line.h"
#include "preload/interpose.h"

#define EXPORT __attribute__((visibility("default")))

namespace {

// The size to request from the runtime when there is no memory for `size`. The
// runtime may round it up, and an impossible size must not wrap around to a
// possible one.
size_t Impossible(size_t size) {
  return size > PTRDIFF_MAX ? size_t{PTRDIFF_MAX} : size;
}

// The runtime's operator new with this mangled name. If there is none, one line
// on stderr reports this, with `size`, and the process is aborted.
template <typename Function>
Function* FromRuntime(const char* name, size_t size) {
  void* found = dlsym(RTLD_NEXT, name);
  for (const char* library : {"libstdc++.so.6", "libc++.so.1"}) {
    if (found != nullptr) break;
    // The runtime may be loaded, but not into the global scope.
    void* handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
    if (handle != nullptr) found = dlsym(handle, name);
  }
  if (found == nullptr) {
    aomalloc::Fatal("operator new", reinterpret_cast<void*>(size),
                    "out of memory, and no C++ runtime to throw bad_alloc");
  }
  return reinterpret_cast<Function*>(found);
}

using New = void*(size_t);
using NewNothrow = void*(size_t, const std::nothrow_t&);
using NewAligned = void*(size_t, std::align_val_t);
using NewAlignedNothrow = void*(size_t, std::align_val_t,
                                const std::nothrow_t&);

// True once it is known to be so. Written once, before main. A flag takes less
// of the fast paths than a look at where the name leads.
bool malloc_is_ours = false;

// A constructor may come before ours: that of another library which is to be
// initialised first. What it allocates is freed later.
[[gnu::noinline]] void* AllocateElsewhere(size_t size) {
  if (aomalloc::preload::MallocAddressIsOurs()) return aomalloc::Allocate(size);
  return malloc(size == 0 ? 1 : size);
}

[[gnu::noinline]] void* AllocateAlignedElsewhere(size_t alignment,
                                                 size_t size) {
  // Not every profiler that has its own malloc knows aligned_alloc. It must not
  // get our block to free.
  if (aomalloc::preload::MallocAddressIsOurs() ||
      aomalloc::preload::AlignedAllocIsOurs()) {
    return aomalloc::AllocateAligned(alignment, size);
  }
  // Also for 16: not every malloc aligns small blocks to that.
  if (alignment < sizeof(void*)) alignment = sizeof(void*);
  if (size > PTRDIFF_MAX - alignment) return nullptr;  // would wrap
  return aligned_alloc(alignment,
                       aomalloc::RoundUp(size == 0 ? 1 : size, alignment));
}

[[gnu::always_inline]] inline void* Allocate(size_t size) {
  if (aomalloc::Likely(malloc_is_ours)) return aomalloc::Allocate(size);
  return AllocateElsewhere(size);
}

// Null, too, if `alignment` is not a power of two. The runtime's operator then
// reports that.
void* AllocateAligned(size_t size, std::align_val_t alignment) {
  const auto value = static_cast<size_t>(alignment);
  if (aomalloc::Unlikely(!aomalloc::IsPowerOfTwo(value))) return nullptr;
  if (aomalloc::Likely(malloc_is_ours)) {
    return aomalloc::AllocateAligned(value, size);
  }
  return AllocateAlignedElsewhere(value, size);
}

constexpr char kDelete[] = "operator delete";

[[gnu::always_inline]] inline void Delete(void* ptr) {
  if (aomalloc::Likely(malloc_is_ours)) return aomalloc::Free(ptr, kDelete);
  free(ptr);  // if that is ours after all, only the name in a report differs
}

[[gnu::always_inline]] inline void DeleteAligned(void* ptr) {
  if (aomalloc::Likely(malloc_is_ours) ||
      aomalloc::preload::AlignedAllocIsOurs()) {
    return aomalloc::Free(ptr, kDelete);
  }
  free(ptr);
}

using FreeBlock = void(void*);
using FreeAligned = void(void*, std::align_val_t);

}  // namespace

void aomalloc::preload::DirectOperators() { malloc_is_ours = MallocIsOurs(); }

// Our own functions, even if the names below lead to others.
#define OWN(name) \
  __attribute__((alias(name), visibility("hidden"), malloc, alloc_size(1)))
extern "C" {
OWN("_Znwm") New own_new;
OWN("_Znam") New own_new_array;
OWN("_ZnwmSt11align_val_t") NewAligned own_new_aligned;
OWN("_ZnamSt11align_val_t") NewAligned own_new_array_aligned;
}
#undef OWN
#define OWN(name) __attribute__((alias(name), visibility("hidden"), nothrow))
extern "C" {
OWN("_ZdlPv") FreeBlock own_delete;
OWN("_ZdaPv") FreeBlock own_delete_array;
OWN("_ZdlPvSt11align_val_t") FreeAligned own_delete_aligned;
OWN("_ZdaPvSt11align_val_t") FreeAligned own_delete_array_aligned;
}
#undef OWN

// The forms that throw.

EXPORT void* operator new(size_t size) {
  void* ptr = Allocate(size);
  if (aomalloc::Likely(ptr != nullptr)) return ptr;
  return FromRuntime<New>("_Znwm", size)(Impossible(size));
}

EXPORT void* operator new(size_t size, std::align_val_t alignment) {
  void* ptr = AllocateAligned(size, alignment);
  if (aomalloc::Likely(ptr != nullptr)) return ptr;
  return FromRuntime<NewAligned>("_ZnwmSt11align_val_t", size)(Impossible(size),
                                                               alignment);
}

EXPORT void* operator new[](size_t size) { return operator new(size); }

EXPORT void* operator new[](size_t size, std::align_val_t alignment) {
  return operator new(size, alignment);
}

// The forms with nothrow. If the program has replaced the form that throws,
// they must call that, and catch what it throws. The runtime's own forms do
// this.

EXPORT void* operator new(size_t size, const std::nothrow_t& tag) noexcept {
  if (aomalloc::Likely(static_cast<New*>(operator new) == own_new)) {
    void* ptr = Allocate(size);
    if (aomalloc::Likely(ptr != nullptr)) return ptr;
  }
  return FromRuntime<NewNothrow>("_ZnwmRKSt9nothrow_t", size)(Impossible(size),
                                                              tag);
}

EXPORT void* operator new[](size_t size, const std::nothrow_t& tag) noexcept {
  if (aomalloc::Likely(static_cast<New*>(operator new[]) == own_new_array)) {
    return operator new(size, tag);
  }
  return FromRuntime<NewNothrow>("_ZnamRKSt9nothrow_t", size)(Impossible(size),
                                                              tag);
}

EXPORT void* operator new(size_t size, std::align_val_t alignment,
                          const std::nothrow_t& tag) noexcept {
  if (aomalloc::Likely(static_cast<NewAligned*>(operator new) ==
                       own_new_aligned)) {
    void* ptr = AllocateAligned(size, alignment);
    if (aomalloc::Likely(ptr != nullptr)) return ptr;
  }
  return FromRuntime<NewAlignedNothrow>("_ZnwmSt11align_val_tRKSt9nothrow_t",
                                        size)(Impossible(size), alignment, tag);
}

EXPORT void* operator new[](size_t size, std::align_val_t alignment,
                            const std::nothrow_t& tag) noexcept {
  if (aomalloc::Likely(static_cast<NewAligned*>(operator new[]) ==
                       own_new_array_aligned)) {
    return operator new(size, alignment, tag);
  }
  return FromRuntime<NewAlignedNothrow>("_ZnamSt11align_val_tRKSt9nothrow_t",
                                        size)(Impossible(size), alignment, tag);
}

// The forms of delete without a size.

EXPORT void operator delete(void* ptr) noexcept { Delete(ptr); }
EXPORT void operator delete(void* ptr, std::align_val_t) noexcept {
  DeleteAligned(ptr);
}

EXPORT void operator delete[](void* ptr) noexcept { operator delete(ptr); }

// The forms with a size, which is the requested one. A size that the block
// cannot have is misuse. But if the program has replaced the form that these
// are defined by, the block need not be ours, and the size is not checked.

EXPORT void operator delete(void* ptr, size_t size) noexcept {
  if (aomalloc::Likely(static_cast<FreeBlock*>(operator delete) ==
                       own_delete) &&
      aomalloc::Likely(malloc_is_ours)) {
    return aomalloc::FreeSized(ptr, size, kDelete);
  }
  operator delete(ptr);
}
EXPORT void operator delete[](void* ptr, size_t size) noexcept {
  if (aomalloc::Likely(static_cast<FreeBlock*>(operator delete[]) ==
                       own_delete_array)) {
    return operator delete(ptr, size);
  }
  operator delete[](ptr);
}
EXPORT void operator delete(void* ptr, const std::nothrow_t&) noexcept {
  operator delete(ptr);
}
EXPORT void operator delete[](void* ptr, const std::nothrow_t&) noexcept {
  operator delete[](ptr);
}

EXPORT void operator delete[](void* ptr, std::align_val_t alignment) noexcept {
  operator delete(ptr, alignment);
}
EXPORT void operator delete(void* ptr, size_t size,
                            std::align_val_t alignment) noexcept {
  if (aomalloc::Likely(static_cast<FreeAligned*>(operator delete) ==
                       own_delete_aligned) &&
      aomalloc::Likely(malloc_is_ours)) {
    return aomalloc::FreeAlignedSized(ptr, static_cast<size_t>(alignment), size,
                                      kDelete);
  }
  operator delete(ptr, alignment);
}
EXPORT void operator delete[](void* ptr, size_t size,
                              std::align_val_t alignment) noexcept {
  if (aomalloc::Likely(static_cast<FreeAligned*>(operator delete[]) ==
                       own_delete_array_aligned)) {
    return operator delete(ptr, size, alignment);
  }
  operator delete[](ptr, alignment);
}
EXPORT void operator delete(void* ptr, std::align_val_t alignment,
                            const std::nothrow_t&) noexcept {
  operator delete(ptr, alignment);
}
EXPORT void operator delete[](void* ptr, std::align_val_t alignment,
                              const std::nothrow_t&) noexcept {
  operator delete[](ptr, alignment);
}
