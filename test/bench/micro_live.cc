// Rows with many blocks alive at a time.
#include <stdlib.h>

#include <utility>

#include "bench.h"
#include "micro.h"

namespace bench {
namespace {

void** blocks;

// Random places among the blocks, over and over: drawn beforehand, as it takes
// as long as a malloc.
constexpr long kPlaces = 1 << 20;
uint32_t* places;

size_t Size(bool random, long n) { return random ? Sizes::At(n) : 64; }

template <long kLive, bool kRandomSizes>
void PrepareLive() {
  Random random(1);
  places = NewTable<uint32_t>(kPlaces);
  for (long n = 0; n < kPlaces; ++n) places[n] = random.Below(kLive);
  blocks = NewTable<void*>(kLive);
  for (long n = 0; n < kLive; ++n) {
    blocks[n] = malloc(Size(kRandomSizes, random.Next() >> 1));
    Touch(blocks[n]);
  }
}

// A random block goes, a new one comes in its place.
template <bool kRandomSizes>
long Live(long objects) {
  for (long n = 0; n < objects; ++n) {
    void*& place = blocks[places[n & (kPlaces - 1)]];
    free(place);
    place = malloc(Size(kRandomSizes, n));
    Touch(place);
  }
  return objects;
}

enum Order { kLifo, kFifo, kRandom };

template <long kBatch, Order kOrder>
void PrepareBatch() {
  blocks = NewTable<void*>(kBatch);
  places = NewTable<uint32_t>(kBatch);
  for (long n = 0; n < kBatch; ++n) {
    places[n] = kOrder == kLifo ? kBatch - 1 - n : n;
  }
  if (kOrder != kRandom) return;
  Random random(2);
  for (long n = kBatch - 1; n > 0; --n) {
    std::swap(places[n], places[random.Below(n + 1)]);
  }
}

// All are allocated, then all are freed.
template <long kBatch>
long Batch(long objects) {
  long done = 0;
  for (; done < objects; done += kBatch) {
    for (long n = 0; n < kBatch; ++n) {
      blocks[n] = malloc(64);
      Touch(blocks[n]);
    }
    for (long n = 0; n < kBatch; ++n) free(blocks[places[n]]);
  }
  return done;
}

}  // namespace

const Row kLiveRows[] = {
    {"live-1k-64", PrepareLive<1000, false>, Live<false>},
    {"live-1k-random", PrepareLive<1000, true>, Live<true>},
    {"live-200k-64", PrepareLive<200000, false>, Live<false>},
    {"batch-lifo", PrepareBatch<10000, kLifo>, Batch<10000>},
    {"batch-fifo", PrepareBatch<10000, kFifo>, Batch<10000>},
    {"batch-random", PrepareBatch<10000, kRandom>, Batch<10000>},
    {"batch-200k-random", PrepareBatch<200000, kRandom>, Batch<200000>},
    {},
};

}  // namespace bench
