// A table of calls, as semantics.c: every operator new and delete, with
// sensible and absurd sizes and alignments. Prints whether there was a block,
// null or bad_alloc, and errno.
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <new>

namespace {

using std::align_val_t;
using std::nothrow;

struct Plain {
  const char* name;  // mangled: new, then delete
  const char* deleting;
  void* (*allocate)(size_t);
  void (*release)(void*, size_t);
};

const Plain kPlain[] = {
    {"_Znwm", "_ZdlPv", [](size_t n) { return operator new(n); },
     [](void* p, size_t) { operator delete(p); }},
    {"_Znam", "_ZdaPv", [](size_t n) { return operator new[](n); },
     [](void* p, size_t) { operator delete[](p); }},
    {"_Znwm", "_ZdlPvm", [](size_t n) { return operator new(n); },
     [](void* p, size_t n) { operator delete(p, n); }},
    {"_Znam", "_ZdaPvm", [](size_t n) { return operator new[](n); },
     [](void* p, size_t n) { operator delete[](p, n); }},
    {"_ZnwmRKSt9nothrow_t", "_ZdlPvRKSt9nothrow_t",
     [](size_t n) { return operator new(n, nothrow); },
     [](void* p, size_t) { operator delete(p, nothrow); }},
    {"_ZnamRKSt9nothrow_t", "_ZdaPvRKSt9nothrow_t",
     [](size_t n) { return operator new[](n, nothrow); },
     [](void* p, size_t) { operator delete[](p, nothrow); }},
};

struct Aligned {
  const char* name;
  const char* deleting;
  void* (*allocate)(size_t, align_val_t);
  void (*release)(void*, size_t, align_val_t);
};

const Aligned kAligned[] = {
    {"_ZnwmSt11align_val_t", "_ZdlPvSt11align_val_t",
     [](size_t n, align_val_t a) { return operator new(n, a); },
     [](void* p, size_t, align_val_t a) { operator delete(p, a); }},
    {"_ZnamSt11align_val_t", "_ZdaPvSt11align_val_t",
     [](size_t n, align_val_t a) { return operator new[](n, a); },
     [](void* p, size_t, align_val_t a) { operator delete[](p, a); }},
    {"_ZnwmSt11align_val_t", "_ZdlPvmSt11align_val_t",
     [](size_t n, align_val_t a) { return operator new(n, a); },
     [](void* p, size_t n, align_val_t a) { operator delete(p, n, a); }},
    {"_ZnamSt11align_val_t", "_ZdaPvmSt11align_val_t",
     [](size_t n, align_val_t a) { return operator new[](n, a); },
     [](void* p, size_t n, align_val_t a) { operator delete[](p, n, a); }},
    {"_ZnwmSt11align_val_tRKSt9nothrow_t",
     "_ZdlPvSt11align_val_tRKSt9nothrow_t",
     [](size_t n, align_val_t a) { return operator new(n, a, nothrow); },
     [](void* p, size_t, align_val_t a) { operator delete(p, a, nothrow); }},
    {"_ZnamSt11align_val_tRKSt9nothrow_t",
     "_ZdaPvSt11align_val_tRKSt9nothrow_t",
     [](size_t n, align_val_t a) { return operator new[](n, a, nothrow); },
     [](void* p, size_t, align_val_t a) { operator delete[](p, a, nothrow); }},
};

const size_t kSizes[] = {0,
                         1,
                         16,
                         100,
                         4096,
                         32768,
                         65537,
                         1000000,
                         size_t{1} << 46,
                         size_t{1} << 62,
                         PTRDIFF_MAX - 4096,
                         PTRDIFF_MAX};
// The C++ runtime rounds these up to a multiple of the alignment, and past 0:
// its own answer is a block of nothing. Without an alignment they are refused.
const size_t kWrapping[] = {size_t{PTRDIFF_MAX} + 1, SIZE_MAX - 4096,
                            SIZE_MAX - 32, SIZE_MAX - 1, SIZE_MAX};
const size_t kAlignments[] = {0,
                              1,
                              2,
                              3,
                              8,
                              16,
                              17,
                              24,
                              32,
                              48,
                              64,
                              1000,
                              4096,
                              4097,
                              65536,
                              1 << 20,
                              size_t{1} << 47,
                              size_t{1} << 62,
                              size_t{1} << 63,
                              (size_t{1} << 63) + 1,
                              SIZE_MAX};

template <typename Allocate, typename Release>
void Try(const char* name, const char* deleting, size_t size, size_t alignment,
         Allocate allocate, Release release) {
  printf("%s(%#zx, %#zx): ", name, size, alignment);
  void* block = nullptr;
  errno = 0;
  try {
    block = allocate();
  } catch (const std::bad_alloc&) {
    printf("bad_alloc, errno %d\n", errno);
    return;
  }
  if (block == nullptr) {
    printf("null, errno %d\n", errno);
    return;
  }
  printf("block, errno %d", errno);
  if (alignment != 0 && reinterpret_cast<uintptr_t>(block) % alignment != 0) {
    printf(", misaligned");
  }
  if (malloc_usable_size(block) < size) printf(", too small");
  memset(block, 0xA5, size);
  release(block);
  printf(", %s\n", deleting);
}

}  // namespace

int main() {
  for (const Plain& p : kPlain) {
    const auto each = [&](size_t size) {
      Try(
          p.name, p.deleting, size, 16, [&] { return p.allocate(size); },
          [&](void* block) { p.release(block, size); });
    };
    for (const size_t size : kSizes) each(size);
    for (const size_t size : kWrapping) each(size);
  }
  for (const Aligned& a : kAligned) {
    for (const size_t alignment : kAlignments) {
      const auto value = static_cast<align_val_t>(alignment);
      for (const size_t size : kSizes) {
        Try(
            a.name, a.deleting, size, alignment,
            [&] { return a.allocate(size, value); },
            [&](void* block) { a.release(block, size, value); });
      }
    }
  }
  for (const Plain& p : kPlain) {
    p.release(nullptr, SIZE_MAX);
    printf("%s(NULL)\n", p.deleting);
  }
  for (const Aligned& a : kAligned) {
    a.release(nullptr, SIZE_MAX, align_val_t{3});
    printf("%s(NULL)\n", a.deleting);
  }
}
