// operator new and delete, every form (C++17 [new.delete]).
//
// A program may replace some of them. Those that the standard defines in terms
// of others therefore call these by their names: -fsemantic-interposition has
// the compiler leave it to the dynamic loader whose they are.
//
// What happens when there is no memory, the new-handler loop and the exception,
// is the business of the program's C++ runtime: its own operator new does it,
// calling our malloc. It is looked up then and only then, so that a C program
// needs no C++ runtime and one that dlopens it late is served.
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

#include <initializer_list>
#include <new>

#include "core/allocator.h"
#include "core/likely.h"
#include "core/report.h"

#define EXPORT __attribute__((visibility("default")))

namespace {

// What to ask the runtime for instead of `size`, of which there is too little:
// an impossible size must not become possible when it is rounded up.
size_t Impossible(size_t size) {
  return size > PTRDIFF_MAX ? size_t{PTRDIFF_MAX} : size;
}

// The runtime's operator new of the given mangled name.
template <typename Function>
Function* FromRuntime(const char* name, size_t size) {
  void* found = dlsym(RTLD_NEXT, name);
  for (const char* library : {"libstdc++.so.6", "libc++.so.1"}) {
    if (found != nullptr) break;
    // Loaded, but not into the global scope.
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

// Null too for what is no alignment: the runtime's operator then says so.
void* AllocateAligned(size_t size, std::align_val_t alignment) {
  const auto value = static_cast<size_t>(alignment);
  if (aomalloc::Unlikely(!aomalloc::IsPowerOfTwo(value))) return nullptr;
  return aomalloc::AllocateAligned(value, size);
}

constexpr char kDelete[] = "operator delete";

void Delete(void* ptr) { aomalloc::Free(ptr, kDelete); }

using FreeBlock = void(void*);
using FreeAligned = void(void*, std::align_val_t);

}  // namespace

// Our own, whoever the names below belong to.
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

EXPORT void* operator new(size_t size) {
  void* ptr = aomalloc::Allocate(size);
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

// Those that do not throw are to catch what a program's replacement of the
// others throws: a matter for the runtime too.

EXPORT void* operator new(size_t size, const std::nothrow_t& tag) noexcept {
  if (aomalloc::Likely(static_cast<New*>(operator new) == own_new)) {
    void* ptr = aomalloc::Allocate(size);
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

EXPORT void operator delete(void* ptr) noexcept { Delete(ptr); }
EXPORT void operator delete(void* ptr, std::align_val_t) noexcept {
  Delete(ptr);
}

EXPORT void operator delete[](void* ptr) noexcept { operator delete(ptr); }

// With a size: where a program has replaced what these are to call, its blocks
// need not be ours, and nothing can be said of their size.

EXPORT void operator delete(void* ptr, size_t size) noexcept {
  if (aomalloc::Likely(static_cast<FreeBlock*>(operator delete) ==
                       own_delete)) {
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
                       own_delete_aligned)) {
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
