// A program with a malloc of its own, and with the C++ runtime's operator new,
// which calls that. It asks its own malloc_usable_size what each form returns,
// and frees some of it by free. A library has called it before any constructor.
// Prints how often malloc and free were called.
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <new>
#include <string>

// Of first_new.cc.
extern "C" void* FirstBlock();

namespace {

constexpr size_t kBytes = size_t{1} << 22;
alignas(4096) char pool[kBytes];
size_t used;
int allocated, freed;

// Each block has its size before it.
void* Take(size_t alignment, size_t size) {
  uintptr_t at = reinterpret_cast<uintptr_t>(pool) + used + 16;
  at = (at + alignment - 1) & ~(alignment - 1);
  const size_t end = at + size - reinterpret_cast<uintptr_t>(pool);
  if (size > kBytes || end > kBytes) return nullptr;
  used = (end + 7) & ~size_t{7};
  auto* block = reinterpret_cast<size_t*>(at);
  block[-1] = size;
  ++allocated;
  return block;
}

void Check(const void* block) {
  const auto* at = static_cast<const char*>(block);
  if (at >= pool && at < pool + kBytes) return;
  static const char kText[] = "FAILED: another's block\n";
  fwrite(kText, 1, sizeof(kText) - 1, stderr);
  _Exit(1);
}

void Say(const char* form) {
  printf("%-24s %d %d\n", form, allocated, freed);
  fflush(stdout);
  allocated = freed = 0;
}

// The compiler must not see that.
volatile size_t impossible = PTRDIFF_MAX;

void* Used(void* block) {
  if (malloc_usable_size(block) == 0) _Exit(1);
  memset(block, 1, malloc_usable_size(block));
  return block;
}

}  // namespace

extern "C" {
// Small blocks are aligned to 8 bytes, as those of some allocators.
void* malloc(size_t size) { return Take(size < 16 ? 8 : 16, size); }
void free(void* block) {
  if (block == nullptr) return;
  Check(block);
  ++freed;
}
void* calloc(size_t count, size_t size) { return malloc(count * size); }
void* realloc(void* block, size_t size) {
  void* moved = malloc(size);
  if (block == nullptr || moved == nullptr) return moved;
  const size_t old = malloc_usable_size(block);
  memcpy(moved, block, old < size ? old : size);
  free(block);
  return moved;
}
void* aligned_alloc(size_t alignment, size_t size) {
  return Take(alignment, size);
}
size_t malloc_usable_size(void* block) {
  Check(block);
  // Take has written it.
  // NOLINTNEXTLINE(clang-analyzer-core.uninitialized.UndefReturn)
  return static_cast<size_t*>(block)[-1];
}
}

int main() {
  static char buffer[BUFSIZ];
  setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  Say("at first");
  ::operator delete(Used(FirstBlock()));
  Say("of a library");
  ::operator delete(Used(::operator new(100)));
  ::operator delete (Used(::operator new(0)), size_t{0});
  ::operator delete[](Used(::operator new[](100)));
  ::operator delete[](Used(::operator new[](100)), size_t{100});
  Say("plain");
  ::operator delete(Used(::operator new(100, std::nothrow)), std::nothrow);
  ::operator delete[](Used(::operator new[](100, std::nothrow)), std::nothrow);
  Say("nothrow");
  for (size_t bytes : {8, 16, 64, 4096}) {
    const std::align_val_t alignment{bytes};
    ::operator delete(Used(::operator new(100, alignment)), alignment);
    ::operator delete[](Used(::operator new[](1, alignment)), 1, alignment);
    void* block = ::operator new(9, alignment, std::nothrow);
    ::operator delete(Used(block), 9, alignment);
    if (reinterpret_cast<uintptr_t>(block) % bytes != 0) return 1;
    if (::operator new(impossible, alignment, std::nothrow) != nullptr) {
      return 1;
    }
  }
  Say("aligned");
  free(Used(::operator new(100)));
  free(Used(::operator new (100, std::align_val_t{64})));
  Say("freed by free");
  std::string text;
  for (int i = 0; i < 10000; ++i) text += "text";
  Say("a string");
  try {
    ::operator delete(::operator new(impossible));
    return 1;
  } catch (const std::bad_alloc&) {
    puts("no memory");
  }
  return 0;
}
