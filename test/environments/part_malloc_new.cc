// A program with a malloc of its own, but without aligned_alloc, as some
// profilers are. Its free must not get blocks that aligned_alloc has returned.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <initializer_list>
#include <new>

namespace {
constexpr size_t kBytes = size_t{1} << 20;
alignas(16) char pool[kBytes];
size_t used;
}  // namespace

extern "C" {
void* malloc(size_t size) {
  size = (size + 15) & ~size_t{15};
  if (size > kBytes - used) return nullptr;
  used += size;
  return pool + used - size;
}
void free(void* block) {
  const auto* at = static_cast<const char*>(block);
  if (at != nullptr && (at < pool || at >= pool + kBytes)) abort();
}
void* calloc(size_t count, size_t size) { return malloc(count * size); }
void* realloc(void* block, size_t size) {
  void* moved = malloc(size);
  if (block != nullptr && moved != nullptr) memcpy(moved, block, size);
  free(block);
  return moved;
}
}

int main() {
  ::operator delete(::operator new(100));
  for (size_t bytes : {1, 8, 16, 64, 4096, 65536}) {
    const std::align_val_t alignment{bytes};
    void* block = ::operator new(100, alignment);
    if (reinterpret_cast<uintptr_t>(block) % bytes != 0) return 1;
    ::operator delete(block, alignment);
    ::operator delete[](::operator new[](100, alignment), 100, alignment);
    ::operator delete(::operator new(1, alignment, std::nothrow), alignment,
                      std::nothrow);
  }
  return 0;
}
