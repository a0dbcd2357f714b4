// How much memory is resident for each byte that is live.
//
//   memory --list     names
//   memory ROW SHARE  bytes resident per byte live, where the peak or the
//   number of
//                     threads is such a share of the usual one
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

constexpr size_t kPeak = size_t{256} << 20;
constexpr size_t kPeakToLive = 8;
constexpr size_t kMostBlocks = size_t{8} << 20;
constexpr size_t kRequest = 2000;  // Blocks that live and die together.

// A peak, of which an eighth stays live: the oldest or, where `scattered`, what
// was allocated for some requests here and there. Then a second goes by; where
// `active`, a block is allocated and freed now and then, as an allocator may
// wait for that to give memory back.
double AfterPeak(double share, bool scattered, bool active) {
  Random random(23);
  auto** blocks = NewTable<Block*>(kMostBlocks);
  const size_t before = Resident();
  size_t count = 0;
  const size_t peak = kPeak * share;
  for (size_t bytes = 0; bytes < peak; ++count) {
    if (count == kMostBlocks) Die("too many blocks");
    blocks[count] = NewFilled(SkewedSize(&random, 32 << 10));
    bytes += blocks[count]->size;
  }
  size_t live = 0;
  bool stays = true;
  for (size_t n = 0; n < count; ++n) {
    if (!scattered) {
      stays = live < peak / kPeakToLive;
    } else if (n % kRequest == 0) {
      stays = random.Below(kPeakToLive) == 0;
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
double IdleThreads(double share) {
  const int threads = 1000 * share;
  constexpr int kSizes = 40;
  static pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, threads + 1);
  static std::atomic<size_t> live{0};
  for (int n = 0; n < threads; ++n) {
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
  double (*run)(double share);
};

const MemoryRow kRows[] = {
    {"peak-idle", [](double share) { return AfterPeak(share, false, false); }},
    {"peak-active", [](double share) { return AfterPeak(share, false, true); }},
    {"scattered-idle",
     [](double share) { return AfterPeak(share, true, false); }},
    {"scattered-active",
     [](double share) { return AfterPeak(share, true, true); }},
    {"idle-threads", IdleThreads},
};

int Main(int argc, char** argv) {
  const bool list = argc == 2 && strcmp(argv[1], "--list") == 0;
  if (!list && argc != 3) Die("usage: memory --list | ROW SHARE");
  for (const MemoryRow& row : kRows) {
    if (list) {
      printf("%s\n", row.name);
    } else if (strcmp(row.name, argv[1]) == 0) {
      printf("%.3f\n", row.run(atof(argv[2])));
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
