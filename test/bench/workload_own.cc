// Workloads where a thread frees what it allocated.
#include "workload.h"

namespace bench {
namespace {

// After threadtest (E. Berger and others, Hoard, ASPLOS 2000): each thread
// allocates its share of 100,000 objects and frees them, over and over.
void ThreadTest(int threads, long work) {
  constexpr long kObjects = 100000;
  const long share = kObjects / threads;
  const long rounds = work / kObjects + 1;
  InThreads(threads, [=](int) {
    auto** objects = NewTable<void*>(share);
    for (long round = 0; round < rounds; ++round) {
      for (long n = 0; n < share; ++n) {
        objects[n] = malloc(64);
        Touch(objects[n]);
      }
      for (long n = 0; n < share; ++n) free(objects[n]);
    }
  });
}

void WriteOften(char* object) {
  for (int n = 0; n < 1000; ++n) {
    auto* place = static_cast<volatile char*>(object) + n % 8;
    *place = *place + 1;
  }
}

// After cache-thrash (Hoard): active false sharing. Threads write to small
// objects that each got for itself.
void CacheThrash(int threads, long work) {
  InThreads(threads, [=](int) {
    for (long n = 0; n < work / threads; ++n) {
      auto* object = static_cast<char*>(malloc(8));
      memset(object, 0, 8);
      WriteOften(object);
      free(object);
    }
  });
}

// After cache-scratch (Hoard): passive false sharing. One thread allocates an
// object for each of the others, who free these and then do as above: whoever
// gives them the same memory again lets them share cache lines.
void CacheScratch(int threads, long work) {
  std::vector<char*> first;
  for (int n = 0; n < threads; ++n) {
    first.push_back(static_cast<char*>(malloc(8)));
    memset(first.back(), 0, 8);
  }
  InThreads(threads, [&, threads, work](int me) {
    WriteOften(first[me]);
    free(first[me]);
    for (long n = 0; n < work / threads; ++n) {
      auto* object = static_cast<char*>(malloc(8));
      memset(object, 0, 8);
      WriteOften(object);
      free(object);
    }
  });
}

// After alloc-test (S. Ignatchenko, ITHare 2018): a set of so many live blocks,
// of which one at random goes and another of a random size comes; all of a
// block is written and read.
template <size_t kLive>
void AllocTest(int, long work) {
  Random random(5);
  auto** blocks = NewTable<Block*>(kLive);
  volatile char seen = 0;
  for (long n = 0; n < work; ++n) {
    Block*& place = blocks[random.Below(kLive)];
    if (place != nullptr) {
      auto* bytes = reinterpret_cast<const char*>(place);
      for (size_t at = 0; at < place->size; at += 64) seen = seen + bytes[at];
      Block::Delete(place);
    }
    place = Block::New(SkewedSize(&random, 1024));
    place->Fill();
  }
  for (size_t n = 0; n < kLive; ++n) Block::Delete(blocks[n]);
}

}  // namespace

const Workload kOwnWorkloads[] = {
    {"threadtest", ThreadTest, 20000000},
    {"cache-thrash", CacheThrash, 600000},
    {"cache-scratch", CacheScratch, 600000},
    {"alloc-test-1k", AllocTest<1000>, 10000000},
    {"alloc-test-10k", AllocTest<10000>, 8000000},
    {"alloc-test-100k", AllocTest<100000>, 5000000},
    {"alloc-test-1M", AllocTest<1000000>, 3000000},
    {},
};

}  // namespace bench
