// An allocator that only ever adds to a pointer and frees nothing: what a
// malloc costs at the least, and what a program costs that never gets memory
// back. Not for use; at a quarter of the machine's memory it gives up.
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr size_t kChunk = size_t{1} << 20;
constexpr size_t kWrappingChunk = size_t{64} << 20;
constexpr size_t kWrap = size_t{16} << 10;  // In the nearest cache.
constexpr size_t kHeader = 16;              // Where a block's size is.

// Each thread adds to a pointer of its own.
__thread uintptr_t cursor, limit,
    wrap_to __attribute__((tls_model("initial-exec")));

std::atomic<size_t> taken{0};

bool Refuse(size_t bytes) {
  static const size_t allowance =
      sysconf(_SC_PHYS_PAGES) / 4 * sysconf(_SC_PAGESIZE);
  return taken.fetch_add(bytes, std::memory_order_relaxed) + bytes > allowance;
}

uintptr_t Map(size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return pages == MAP_FAILED ? 0 : reinterpret_cast<uintptr_t>(pages);
}

size_t& SizeOf(void* block) { return static_cast<size_t*>(block)[-1]; }

void* Fail() {
  errno = ENOMEM;
  return nullptr;
}

uintptr_t RoundUp(uintptr_t value, size_t unit) {
  return (value + unit - 1) & ~(unit - 1);
}

// Makes room, in memory of this thread's own.
bool Refill(size_t bytes) {
  if (wrap_to != 0 && bytes < kWrappingChunk) {
    cursor = wrap_to;
    return true;
  }
  bytes = RoundUp(bytes, kChunk);
  if (Refuse(bytes)) return false;
  cursor = Map(bytes);
  limit = cursor + bytes;
  return cursor != 0;
}

inline void* Allocate(size_t alignment, size_t size) {
  if (__builtin_expect(size > PTRDIFF_MAX - alignment - kChunk, 0)) {
    return Fail();
  }
  uintptr_t block = RoundUp(cursor + kHeader, alignment);
  if (__builtin_expect(block + size > limit, 0)) {
    if (!Refill(kHeader + alignment + size)) return Fail();
    block = RoundUp(cursor + kHeader, alignment);
  }
  cursor = RoundUp(block + size, 16);
  SizeOf(reinterpret_cast<void*>(block)) = size;
  return reinterpret_cast<void*>(block);
}

}  // namespace

// From now on this thread uses the same memory round and round, so that a loop
// can be timed without the faults of fresh pages. Only for who never looks at
// what is in a block.
EXPORT void bench_bump_wrap() {
  wrap_to = Map(kWrappingChunk);
  cursor = wrap_to;
  limit = wrap_to + kWrap;
}

EXPORT void* malloc(size_t size) { return Allocate(16, size); }

EXPORT void free(void*) {}

EXPORT void* calloc(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return Fail();
  void* block = Allocate(16, bytes);
  if (block != nullptr && wrap_to != 0) memset(block, 0, bytes);
  return block;
}

EXPORT void* realloc(void* old, size_t size) {
  void* block = Allocate(16, size);
  if (block != nullptr && old != nullptr) {
    memcpy(block, old, size < SizeOf(old) ? size : SizeOf(old));
  }
  return block;
}

EXPORT void* memalign(size_t alignment, size_t size) {
  return Allocate(alignment < 16 ? 16 : alignment, size);
}
EXPORT void* aligned_alloc(size_t alignment, size_t size) {
  return memalign(alignment, size);
}
EXPORT int posix_memalign(void** place, size_t alignment, size_t size) {
  void* block = memalign(alignment, size);
  if (block == nullptr) return ENOMEM;
  *place = block;
  return 0;
}
EXPORT void* valloc(size_t size) { return Allocate(4096, size); }
EXPORT void* pvalloc(size_t size) {
  return Allocate(4096, (size + 4095) & ~size_t{4095});
}
EXPORT size_t malloc_usable_size(void* block) {
  return block == nullptr ? 0 : SizeOf(block);
}
