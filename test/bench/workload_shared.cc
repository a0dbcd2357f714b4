// Workloads where blocks outlive the thread that allocated them, or are freed
// by another one.
#include <semaphore.h>

#include <new>

#include "pipe.h"
#include "workload.h"

namespace bench {
namespace {

// After larson (P. Larson and M. Krishnan, ISMM 1998): a server. Each thread
// replaces blocks of 16 to 1,000 bytes at random among 1,000, then leaves them
// to a new thread and ends. Servers lie apart from each other: a cache line
// that they shared would not be the allocator's doing.
class alignas(128) Server {
 public:
  static constexpr int kGenerations = 20;
  static constexpr long kBlocks = 1000;

  Server(int seed, long steps, sem_t* done)
      : random_(seed), steps_(steps), done_(done) {}

  void Start() { std::thread(&Server::Serve, this).detach(); }

  void Clear() {
    for (long n = 0; n < kBlocks; ++n) Block::Delete(blocks_[n]);
  }

 private:
  void Serve() {
    for (long n = 0; n < steps_; ++n) {
      Block*& place = blocks_[random_.Below(kBlocks)];
      Block::Delete(place);
      place = Block::New(random_.Between(16, 1000));
    }
    if (++generation_ < kGenerations) {
      Start();
    } else {
      sem_post(done_);
    }
  }

  Random random_;
  const long steps_;
  sem_t* const done_;
  int generation_ = 0;
  Block** const blocks_ = NewTable<Block*>(kBlocks);
};

void Larson(int threads, long work) {
  sem_t done;
  sem_init(&done, 0, 0);
  std::vector<Server> servers;
  servers.reserve(threads);
  for (int n = 0; n < threads; ++n) {
    servers.emplace_back(13 + n, work / threads / Server::kGenerations, &done);
  }
  for (Server& server : servers) server.Start();
  for (int n = 0; n < threads; ++n) sem_wait(&done);
  for (Server& server : servers) server.Clear();
}

// After xmalloc (C. Lever and D. Boreham, USENIX 2000): half of the threads
// allocate, the others free what they get from them.
void Xmalloc(int threads, long work) {
  constexpr long kBatch = 100;
  using BlockPipe = Pipe<kBatch>;
  const int pairs = threads / 2;
  auto* pipes = NewTable<BlockPipe>(pairs);
  for (int n = 0; n < pairs; ++n) new (&pipes[n]) BlockPipe;
  const long batches = work / pairs / kBatch;
  InThreads(2 * pairs, [=](int me) {
    BlockPipe& pipe = pipes[me / 2];
    Random random(17 + me);
    for (long done = 0; done < batches; ++done) {
      Waiting waiting;
      if (me % 2 == 0) {
        while (pipe.Back() == nullptr) waiting.Turn();
        for (void*& block : pipe.Back()->block) {
          block = Block::New(SkewedSize(&random, 1024));
        }
        pipe.Push();
      } else {
        while (pipe.Front() == nullptr) waiting.Turn();
        for (void* block : pipe.Front()->block) {
          Block::Delete(static_cast<Block*>(block));
        }
        pipe.Pop();
      }
    }
  });
}

// After the stress test of mimalloc (D. Leijen): threads allocate blocks up to
// 100 KiB, keep some, change the size of some, swap some with the other
// threads, and end; others take their place.
void Mstress(int threads, long work) {
  constexpr int kGenerations = 10;
  constexpr long kShared = 1000;
  constexpr long kKept = 500;
  auto* shared = NewTable<std::atomic<Block*>>(kShared);
  for (int generation = 0; generation < kGenerations; ++generation) {
    InThreads(threads, [=](int me) {
      Random random(19 + generation * threads + me);
      auto** kept = NewTable<Block*>(kKept);
      for (long n = 0; n < work / threads / kGenerations; ++n) {
        Block*& place = kept[random.Below(kKept)];
        const size_t limit = random.Below(1000) == 0 ? 100 << 10 : 4 << 10;
        switch (random.Below(8)) {
          case 0:
            if (place != nullptr) {
              place = Block::Resize(place, SkewedSize(&random, limit));
            }
            break;
          case 1:
          case 2:
            place = shared[random.Below(kShared)].exchange(
                place, std::memory_order_acq_rel);
            break;
          default:
            Block::Delete(place);
            place = Block::New(SkewedSize(&random, limit));
        }
      }
      for (long n = 0; n < kKept; ++n) Block::Delete(kept[n]);
      DeleteTable(kept, kKept);
    });
  }
  for (long n = 0; n < kShared; ++n) Block::Delete(shared[n].load());
}

}  // namespace

const Workload kSharedWorkloads[] = {
    {"larson", Larson, 15000000},
    {"xmalloc", Xmalloc, 8000000},
    {"mstress", Mstress, 12000000},
    {},
};

}  // namespace bench
