// What the benchmark programs share. Their own tables come straight from the
// system, so that the allocator under test sees the row's blocks and no others.
#ifndef AOMALLOC_TEST_BENCH_BENCH_H_
#define AOMALLOC_TEST_BENCH_BENCH_H_

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "test/random.h"

namespace bench {

[[noreturn]] inline void Die(const char* what) {
  fprintf(stderr, "bench: %s\n", what);
  _exit(1);
}

using aomalloc::Random;

// An array of zeros whose pages are there from the beginning.
template <typename T>
T* NewTable(size_t count) {
  constexpr size_t kSize = sizeof(T);  // NOLINT(bugprone-sizeof-expression)
  void* table = mmap(nullptr, count * kSize, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (table == MAP_FAILED) Die("no memory for a table");
  return static_cast<T*>(table);
}

template <typename T>
void DeleteTable(T* table, size_t count) {
  constexpr size_t kSize = sizeof(T);  // NOLINT(bugprone-sizeof-expression)
  munmap(table, count * kSize);
}

// The one store into each block. It also sees that there is a block.
inline void Touch(void* block) { *static_cast<volatile char*>(block) = 1; }

inline double Now(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

// A turn of a loop that waits for another thread, which may want this core.
class Waiting {
 public:
  void Turn() {
    if (++turns_ % 64 == 0) {
      sched_yield();
    } else {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  }

 private:
  unsigned turns_ = 0;
};

}  // namespace bench

#endif  // AOMALLOC_TEST_BENCH_BENCH_H_
