// How much memory is resident for each byte that is live.
//
//   memory --list     names
//   memory ROW SHARE  bytes resident per byte live, where the peak or the
//   number of
//                     threads is such a share of the usual one
#include <fcntl.h>
#include <malloc.h>
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

// Phases: in each, blocks of one size are allocated, and one in 50 survives:
// for good, and the result is the most that is resident for each byte that is
// live then. Or, where it `trims`, for two phases, and the result is what stays
// when all phases are over and malloc_trim was called.
double AfterPhases(double share, bool trims) {
  const size_t bytes = (size_t{48} << 20) * share;
  constexpr size_t kSizes[] = {100, 200, 500, 130, 1000, 300, 2000, 700};
  constexpr size_t kPhases = sizeof(kSizes) / sizeof(kSizes[0]);
  constexpr size_t kSurvives = 50;
  const size_t most = bytes / 100 + 1;
  auto** blocks = NewTable<Block*>(kPhases * most);
  const size_t before = Resident();
  size_t live = 0;
  double worst = 0;
  for (size_t phase = 0; phase < kPhases; ++phase) {
    Block** now = blocks + phase * most;
    const size_t count = bytes / kSizes[phase];
    for (size_t n = 0; n < count; ++n) now[n] = NewFilled(kSizes[phase]);
    live += count * kSizes[phase];
    worst = std::max(worst, static_cast<double>(Resident() - before) / live);
    const auto free_phase = [&](size_t old, bool all) {
      Block** of_phase = blocks + old * most;
      for (size_t n = 0; n < most; ++n) {
        if (of_phase[n] == nullptr || (!all && n % kSurvives == 0)) continue;
        live -= of_phase[n]->size;
        Block::Delete(of_phase[n]);
        of_phase[n] = nullptr;
      }
    };
    free_phase(phase, false);
    if (trims && phase >= 2) free_phase(phase - 2, true);
  }
  if (!trims) return worst;
  malloc_trim(0);
  return static_cast<double>(Resident() - before) / live;
}

// 32 MiB of blocks, one at random replaced time and again, 12 times all of
// them, while their sizes become half as large again. The most that is resident
// for each byte that is live.
double Drift(double share) {
  constexpr int kTurns = 12;
  constexpr size_t kSize = 200;
  constexpr int kLooks = 16 * kTurns;
  Random random(29);
  const size_t most = (size_t{32} << 20) * share;
  auto** blocks = NewTable<Block*>(most / (kSize / 2));
  const size_t before = Resident();
  const size_t bytes = most * (kTurns + 1);  // to be allocated
  size_t count = 0;
  size_t live = 0;
  size_t done = 0;
  double worst = 0;
  for (int look = 1; look <= kLooks; ++look) {
    for (const size_t until = bytes / kLooks * look; done < until;) {
      const size_t mean = kSize + kSize / 2 * (done >> 10) / (bytes >> 10);
      const size_t size = mean / 2 + random.Below(mean);
      while (count != 0 && live + size > most) {
        Block** freed = &blocks[random.Below(count)];
        live -= (*freed)->size;
        Block::Delete(*freed);
        *freed = blocks[--count];
      }
      blocks[count++] = NewFilled(size);
      live += size;
      done += size;
    }
    if (look < kLooks / kTurns) continue;
    worst = std::max(worst, static_cast<double>(Resident() - before) / live);
  }
  return worst;
}

// 8,000 strings that grow by turns, some 400 bytes at a time, from nothing to
// 34 to 40 KB. The most that is resident for each byte that is live at the end.
double Strings(double share) {
  struct String {
    char* bytes;
    size_t length;
    size_t end;
  };
  Random random(31);
  const size_t count = 8000 * share;
  auto* strings = NewTable<String>(count);
  const size_t before = Resident();
  size_t total = 0;
  for (size_t n = 0; n < count; ++n) {
    strings[n].end = 34000 + random.Below(6000);
    total += strings[n].end;
  }
  size_t most = 0;
  size_t live = 0;
  size_t looks = 0;
  for (size_t growing = count; growing != 0;) {
    String* string = &strings[random.Below(growing)];
    const size_t left = string->end - string->length;
    const size_t more = std::min(left, 200 + random.Below(400));
    string->bytes =
        static_cast<char*>(realloc(string->bytes, string->length + more));
    if (string->bytes == nullptr) Die("out of memory");
    memset(string->bytes + string->length, 1, more);
    string->length += more;
    live += more;
    if (more == left) std::swap(*string, strings[--growing]);
    if (live >= total / 64 * looks || growing == 0) {
      ++looks;
      most = std::max(most, Resident() - before);
    }
  }
  return static_cast<double>(most) / live;
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
    {"phases", [](double share) { return AfterPhases(share, false); }},
    {"phases-trim", [](double share) { return AfterPhases(share, true); }},
    {"drift", Drift},
    {"strings", Strings},
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
