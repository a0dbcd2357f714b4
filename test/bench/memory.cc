// How much memory is resident for each byte that is live.
//
//   memory --list  names
//   memory ROW     bytes resident per byte live
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workload.h"

namespace bench {
namespace {

// As exact as the kernel knows it; statm lags behind.
size_t Resident() {
  char text[4096];
  const int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
  const ssize_t length = file < 0 ? 0 : read(file, text, sizeof(text) - 1);
  if (length <= 0) Die("cannot read /proc/self/smaps_rollup");
  close(file);
  text[length] = 0;
  const char* line = strstr(text, "\nRss:");
  if (line == nullptr) Die("no Rss in /proc/self/smaps_rollup");
  return strtoul(line + 5, nullptr, 10) << 10;
}

Block* NewFilled(size_t size) {
  Block* block = Block::New(size);
  block->Fill();
  return block;
}

constexpr size_t kLive = size_t{32} << 20;
constexpr size_t kPeak = size_t{256} << 20;
constexpr size_t kMostBlocks = size_t{8} << 20;
constexpr size_t kRequest = 2000;  // Blocks that live and die together.

// A peak, of which an eighth stays live: the oldest or, where `scattered`, what
// was allocated for some requests here and there. Then a second goes by; where
// `active`, a block is allocated and freed now and then, as an allocator may
// wait for that to give memory back.
double AfterPeak(bool scattered, bool active) {
  Random random(23);
  auto** blocks = NewTable<Block*>(kMostBlocks);
  const size_t before = Resident();
  size_t count = 0;
  for (size_t bytes = 0; bytes < kPeak; ++count) {
    if (count == kMostBlocks) Die("too many blocks");
    blocks[count] = NewFilled(SkewedSize(&random, 32 << 10));
    bytes += blocks[count]->size;
  }
  size_t live = 0;
  bool stays = true;
  for (size_t n = 0; n < count; ++n) {
    if (!scattered) {
      stays = live < kLive;
    } else if (n % kRequest == 0) {
      stays = random.Below(kPeak / kLive) == 0;
    }
    if (stays) {
      live += blocks[n]->size;
    } else {
      Block::Delete(blocks[n]);
    }
  }
  for (int n = 0; n < 100; ++n) {
    usleep(10000);
    if (active) free(malloc(100));
  }
  return static_cast<double>(Resident() - before) / live;
}

// Threads that each hold a block of 40 sizes and do nothing more.
double IdleThreads() {
  constexpr int kThreads = 1000;
  constexpr int kSizes = 40;
  static pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, kThreads + 1);
  static std::atomic<size_t> live{0};
  for (int n = 0; n < kThreads; ++n) {
    std::thread([] {
      pthread_barrier_wait(&barrier);  // All have started.
      pthread_barrier_wait(&barrier);
      double size = sizeof(Block);
      for (int k = 0; k < kSizes; ++k, size *= 1.2) {
        live += NewFilled(static_cast<size_t>(size))->size;
      }
      pthread_barrier_wait(&barrier);
      pause();
    }).detach();
  }
  pthread_barrier_wait(&barrier);
  const size_t before = Resident();
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  return static_cast<double>(Resident() - before) / live;
}

struct MemoryRow {
  const char* name;
  double (*run)();
};

const MemoryRow kRows[] = {
    {"peak-idle", [] { return AfterPeak(false, false); }},
    {"peak-active", [] { return AfterPeak(false, true); }},
    {"scattered-idle", [] { return AfterPeak(true, false); }},
    {"scattered-active", [] { return AfterPeak(true, true); }},
    {"idle-threads", IdleThreads},
};

int Main(int argc, char** argv) {
  if (argc != 2) Die("usage: memory --list | ROW");
  const bool list = strcmp(argv[1], "--list") == 0;
  for (const MemoryRow& row : kRows) {
    if (list) {
      printf("%s\n", row.name);
    } else if (strcmp(row.name, argv[1]) == 0) {
      printf("%.3f\n", row.run());
      fflush(stdout);
      _exit(0);  // The threads never end.
    }
  }
  if (!list) Die("no such row");
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) { return bench::Main(argc, argv); }
