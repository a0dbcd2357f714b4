// Rows where a block is freed by a thread that did not allocate it.
#include <stdlib.h>

#include <atomic>
#include <new>
#include <thread>

#include "bench.h"
#include "micro.h"
#include "pipe.h"

namespace bench {
namespace {

constexpr long kBatch = 1000;
using BatchPipe = Pipe<kBatch>;

BatchPipe* pipes;

void PreparePipes() {
  pipes = NewTable<BatchPipe>(2);
  new (&pipes[0]) BatchPipe;
  new (&pipes[1]) BatchPipe;
}

// What a thread's work has taken, without its waiting for the other.
std::atomic<long> nanoseconds{0};

class Worked {
 public:
  ~Worked() {
    nanoseconds.fetch_add((Now(CLOCK_THREAD_CPUTIME_ID) - begin_) * 1e9);
  }

 private:
  const double begin_ = Now(CLOCK_THREAD_CPUTIME_ID);
};

double Taken() { return nanoseconds.exchange(0) * 1e-9; }

void Allocate(BatchPipe::Batch* batch, long first, bool random_sizes) {
  const Worked worked;
  for (long n = 0; n < kBatch; ++n) {
    void* block = malloc(random_sizes ? Sizes::At(first + n) : 64);
    Touch(block);
    batch->block[n] = block;
  }
}

void Free(BatchPipe::Batch* batch) {
  const Worked worked;
  for (void* block : batch->block) free(block);
}

template <bool kRandomSizes>
long FreedByOther(long objects) {
  const long batches = (objects + kBatch - 1) / kBatch;
  std::thread other([batches] {
    for (long n = 0; n < batches; ++n) {
      Waiting waiting;
      while (pipes[0].Front() == nullptr) waiting.Turn();
      Free(pipes[0].Front());
      pipes[0].Pop();
    }
  });
  for (long n = 0; n < batches; ++n) {
    Waiting waiting;
    while (pipes[0].Back() == nullptr) waiting.Turn();
    Allocate(pipes[0].Back(), n * kBatch, kRandomSizes);
    pipes[0].Push();
  }
  other.join();
  return batches * kBatch;
}

// One of two threads: fills batches for the other and frees what comes from it.
void Swap(BatchPipe* out, BatchPipe* in, long batches) {
  long sent = 0, received = 0;
  Waiting waiting;
  while (sent < batches || received < batches) {
    bool moved = false;
    if (sent < batches && out->Back() != nullptr) {
      Allocate(out->Back(), sent++ * kBatch, true);
      out->Push();
      moved = true;
    }
    if (received < batches && in->Front() != nullptr) {
      Free(in->Front());
      in->Pop();
      ++received;
      moved = true;
    }
    if (!moved) waiting.Turn();
  }
}

long Swapped(long objects) {
  const long batches = (objects / 2 + kBatch - 1) / kBatch;
  std::thread other(Swap, &pipes[1], &pipes[0], batches);
  Swap(&pipes[0], &pipes[1], batches);
  other.join();
  return 2 * batches * kBatch;
}

}  // namespace

const Row kThreadRows[] = {
    {"other-thread-64", PreparePipes, FreedByOther<false>, Taken},
    {"other-thread-random", PreparePipes, FreedByOther<true>, Taken},
    {"swap-random", PreparePipes, Swapped, Taken},
    {},
};

}  // namespace bench
