// Preloaded before the allocator, into a program that runs under qemu: passes
// each call on, and tells the plugin of it (announce.h).
//
// It writes nothing that two threads share, so it adds no transfers: its
// pointers are resolved once, and are then read only.
#include "announce.h"

#include <dlfcn.h>
#include <errno.h>

#include <cstddef>
#include <new>

#include "core/base/syscall.h"

namespace transfers {
namespace {

using aomalloc::os::AsLong;
using aomalloc::os::Syscall;

// The next definition of a function, behind this library's.
template <typename Function>
class Next {
 public:
  constexpr explicit Next(const char* name) : name_(name) {}

  void Find() {
    if (function_ != nullptr) return;
    function_ = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name_));
  }

  template <typename... Arguments>
  auto operator()(Arguments... arguments) {
    Find();
    return function_(arguments...);
  }

 private:
  const char* const name_;
  Function* function_ = nullptr;
};

using Main = int (*)(int, char**, char**);

Next<void*(size_t)> next_malloc("malloc");
Next<void*(size_t, size_t)> next_calloc("calloc");
Next<void*(void*, size_t)> next_realloc("realloc");
Next<void*(size_t, size_t)> next_aligned_alloc("aligned_alloc");
Next<void*(size_t, size_t)> next_memalign("memalign");
Next<int(void**, size_t, size_t)> next_posix_memalign("posix_memalign");
Next<void(void*)> next_free("free");
Next<int(Main, int, char**, void (*)(), void (*)(), void (*)(), void*)>
    next_start("__libc_start_main");

// Constructors of other libraries may call before this one runs. Afterwards all
// must be known: dlsym may call free for the message of an earlier one.
__attribute__((constructor)) void FindAll() {
  next_malloc.Find();
  next_calloc.Find();
  next_realloc.Find();
  next_aligned_alloc.Find();
  next_memalign.Find();
  next_posix_memalign.Find();
  next_free.Find();
}

void* Allocated(void* block, size_t size) {
  Syscall(kAllocated, AsLong(block), static_cast<long>(size));
  return block;
}

}  // namespace
}  // namespace transfers

using namespace transfers;  // NOLINT(google-build-using-namespace)

extern "C" {

void* malloc(size_t size) {
  Syscall(kEnter);
  return Allocated(next_malloc(size), size);
}

void* calloc(size_t count, size_t size) {
  Syscall(kEnter);
  return Allocated(next_calloc(count, size), count * size);
}

void* realloc(void* block, size_t size) {
  Syscall(kFreeing, AsLong(block));
  return Allocated(next_realloc(block, size), size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  Syscall(kEnter);
  return Allocated(next_aligned_alloc(alignment, size), size);
}

void* memalign(size_t alignment, size_t size) {
  Syscall(kEnter);
  return Allocated(next_memalign(alignment, size), size);
}

int posix_memalign(void** block, size_t alignment, size_t size) {
  Syscall(kEnter);
  const int error = next_posix_memalign(block, alignment, size);
  Allocated(error == 0 ? *block : nullptr, size);
  return error;
}

void free(void* block) {
  Syscall(kFreeing, AsLong(block));
  next_free(block);
  Syscall(kLeave);
}

// Everything that is mapped before main, by other than the dynamic loader, is
// the allocator's.
int __libc_start_main(Main main, int argc, char** argv, void (*init)(),
                      void (*fini)(), void (*rtld_fini)(), void* stack_end) {
  Syscall(kMain);
  return next_start(main, argc, argv, init, fini, rtld_fini, stack_end);
}

}  // extern "C"

// Allocators bring operators of their own, which would pass by the above.
void* operator new(size_t size) { return malloc(size); }
void* operator new[](size_t size) { return malloc(size); }
void operator delete(void* block) noexcept { free(block); }
void operator delete[](void* block) noexcept { free(block); }
void operator delete(void* block, size_t) noexcept { free(block); }
void operator delete[](void* block, size_t) noexcept { free(block); }
