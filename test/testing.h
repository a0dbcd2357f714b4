// What several unit tests need.
#ifndef AOMALLOC_TEST_TESTING_H_
#define AOMALLOC_TEST_TESTING_H_

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "test/random.h"

namespace aomalloc {

// Runs f(0) .. f(count - 1) in threads of their own, which begin when all have
// started, and waits for them.
template <typename F>
void InThreads(int count, F f) {
  std::atomic<int> missing{count};
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      --missing;
      while (missing > 0) std::this_thread::yield();
      f(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// The physical memory of the process, counted page by page: the number in
// /proc/self/statm may be off by what each processor has yet to report.
inline size_t ResidentBytes() {
  FILE* file = fopen("/proc/self/smaps_rollup", "re");
  if (file == nullptr) return 0;
  char line[200];
  size_t kilobytes = 0;
  while (fgets(line, sizeof(line), file) != nullptr) {
    if (sscanf(line, "Rss: %zu", &kilobytes) == 1) break;
  }
  fclose(file);
  return kilobytes * 1024;
}

// The address space that the process has.
inline size_t AddressSpace() {
  FILE* file = fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  size_t pages = 0;
  if (fscanf(file, "%zu", &pages) != 1) pages = 0;
  fclose(file);
  return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// True if the kernel has what core asks for before it moves pages: 5.14 has.
inline bool PagesAreMoved() {
  constexpr int kPopulateRead = 22;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* start = mmap(nullptr, page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool granted = madvise(start, page, kPopulateRead) == 0;
  munmap(start, page);
  return granted;
}

// The mappings that the process has.
inline size_t CountMappings() {
  FILE* file = fopen("/proc/self/maps", "re");
  if (file == nullptr) return 0;
  size_t count = 0;
  for (int c; (c = fgetc(file)) != EOF;) count += c == '\n';
  fclose(file);
  return count;
}

inline double Seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) * 1e-9;
}

// Calls `condition` again and again until it is true, or for ten seconds.
template <typename Condition>
bool Eventually(Condition condition) {
  const double deadline = Seconds() + 10;
  while (!condition()) {
    if (Seconds() > deadline) return false;
    const timespec millisecond{0, 1000000};
    nanosleep(&millisecond, nullptr);
  }
  return true;
}

// Fills a block with bytes that depend on `seed` and the position.
inline void Fill(void* block, size_t size, uint8_t seed) {
  auto* bytes = static_cast<uint8_t*>(block);
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<uint8_t>(seed + i * 7 + (i >> 8));
  }
}

inline bool IsFilled(const void* block, size_t size, uint8_t seed) {
  const auto* bytes = static_cast<const uint8_t*>(block);
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != static_cast<uint8_t>(seed + i * 7 + (i >> 8))) return false;
  }
  return true;
}

inline bool IsZero(const void* block, size_t size) {
  const auto* bytes = static_cast<const char*>(block);
  return size == 0 ||
         (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_TESTING_H_
