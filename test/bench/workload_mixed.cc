// Workloads that mix sizes, ages and orders of freeing.
#include "workload.h"

namespace bench {
namespace {

// After shbench (MicroQuill): many small blocks, few of up to 1,000 bytes; what
// was allocated is freed in part last to first, in part first to last, in part
// much later.
void Shbench(int threads, long work) {
  constexpr long kBatch = 500;
  InThreads(threads, [=](int me) {
    Random random(7 + me);
    constexpr long kOld = 5000;
    auto** batch = NewTable<Block*>(kBatch);
    auto** old = NewTable<Block*>(kOld);
    long oldest = 0;
    for (long done = 0; done < work / threads; done += kBatch) {
      for (long n = 0; n < kBatch; ++n) {
        const bool large = random.Below(10) == 0;
        batch[n] = Block::New(random.Between(1, large ? 1000 : 100));
      }
      for (long n = kBatch - 1; n >= kBatch * 2 / 3; --n) {
        Block::Delete(batch[n]);
      }
      for (long n = 0; n < kBatch / 3; ++n) Block::Delete(batch[n]);
      for (long n = kBatch / 3; n < kBatch * 2 / 3; ++n) {
        Block::Delete(old[oldest]);
        old[oldest] = batch[n];
        oldest = (oldest + 1) % kOld;
      }
    }
    for (long n = 0; n < kOld; ++n) Block::Delete(old[n]);
  });
}

// Blocks that are to be freed by one thread, chained through themselves.
struct alignas(128) Mailbox {
  std::atomic<Block*> first{nullptr};

  void Send(Block* head, Block* tail) {
    tail->next = first.load(std::memory_order_relaxed);
    while (!first.compare_exchange_weak(tail->next, head,
                                        std::memory_order_release,
                                        std::memory_order_relaxed)) {
    }
  }
  void Empty() {
    Block* block = first.exchange(nullptr, std::memory_order_acquire);
    while (block != nullptr) {
      Block* next = block->next;
      Block::Delete(block);
      block = next;
    }
  }
};

// After the benchmark of rpmalloc (M. Jansson): sizes from 16 to 16,000 bytes,
// small ones more often; each fourth batch is freed by the next thread, the
// rest by the thread itself, a stride apart.
void Rptest(int threads, long work) {
  constexpr long kBatch = 200;
  auto* boxes = NewTable<Mailbox>(threads);
  InThreads(threads, [=](int me) {
    Random random(11 + me);
    constexpr long kLive = 3000;
    auto** live = NewTable<Block*>(kLive);
    long place = 0;
    for (long done = 0; done < work / threads; done += kBatch) {
      if (done / kBatch % 4 == 3) {
        Block* tail = nullptr;
        Block* head = nullptr;
        for (long n = 0; n < kBatch; ++n) {
          Block* block = Block::New(sizeof(Block) + SkewedSize(&random, 16000));
          block->next = head;
          head = block;
          if (tail == nullptr) tail = block;
        }
        boxes[(me + 1) % threads].Send(head, tail);
        boxes[me].Empty();
        continue;
      }
      for (long n = 0; n < kBatch; ++n) {
        place = (place + 7) % kLive;
        Block::Delete(live[place]);
        live[place] = Block::New(SkewedSize(&random, 16000));
      }
    }
    for (long n = 0; n < kLive; ++n) Block::Delete(live[n]);
  });
  for (int n = 0; n < threads; ++n) boxes[n].Empty();
}

}  // namespace

const Workload kMixedWorkloads[] = {
    {"shbench", Shbench, 12000000},
    {"rptest", Rptest, 12000000},
    {},
};

}  // namespace bench
