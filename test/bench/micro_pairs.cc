// Rows where each block is freed before the next one is allocated: the shortest
// way through the allocator.
#include <stdlib.h>

#include <new>

#include "bench.h"
#include "micro.h"

namespace bench {
namespace {

template <size_t kSize>
long Pair(long objects) {
  for (long n = 0; n < objects; ++n) {
    void* block = malloc(kSize);
    Touch(block);
    free(block);
  }
  return objects;
}

long PairRandom(long objects) {
  for (long n = 0; n < objects; ++n) {
    void* block = malloc(Sizes::At(n));
    Touch(block);
    free(block);
  }
  return objects;
}

long Calloc(long objects) {
  for (long n = 0; n < objects; ++n) {
    void* block = calloc(4, 64);
    Touch(block);
    free(block);
  }
  return objects;
}

long Aligned(long objects) {
  for (long n = 0; n < objects; ++n) {
    void* block = aligned_alloc(64, 128);
    Touch(block);
    free(block);
  }
  return objects;
}

long New(long objects) {
  for (long n = 0; n < objects; ++n) {
    void* block = ::operator new(64);
    Touch(block);
    ::operator delete(block, 64);
  }
  return objects;
}

// A step of realloc is an object.
long Realloc(long objects) {
  long done = 0;
  while (done < objects) {
    void* block = malloc(16);
    Touch(block);
    for (size_t size = 24; size <= 16384; size += size / 2) {
      block = realloc(block, size);
      Touch(static_cast<char*>(block) + size - 1);
      ++done;
    }
    free(block);
  }
  return done;
}

}  // namespace

const Row kPairRows[] = {
    {"pair-16", nullptr, Pair<16>},
    {"pair-64", nullptr, Pair<64>},
    {"pair-256", nullptr, Pair<256>},
    {"pair-1024", nullptr, Pair<1024>},
    {"pair-4096", nullptr, Pair<4096>},
    {"pair-16K", nullptr, Pair<16384>},
    {"pair-32K", nullptr, Pair<32768>},
    {"pair-64K", nullptr, Pair<65536>},
    {"pair-1M", nullptr, Pair<1 << 20>},
    {"pair-random", nullptr, PairRandom},
    {"pair-new", nullptr, New},
    {"pair-calloc", nullptr, Calloc},
    {"pair-aligned", nullptr, Aligned},
    {"realloc", nullptr, Realloc},
    {},
};

}  // namespace bench
