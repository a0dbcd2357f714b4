// Batches of blocks on their way from one thread to another.
#ifndef AOMALLOC_TEST_BENCH_PIPE_H_
#define AOMALLOC_TEST_BENCH_PIPE_H_

#include <atomic>

namespace bench {

// One thread pushes, one pops. The batches lie in the pipe itself.
template <long kBatchSize>
class Pipe {
 public:
  struct Batch {
    void* block[kBatchSize];
  };

  // The place of the next batch, null if there is none free. Push() sends it.
  Batch* Back() {
    const long back = pushed_.load(std::memory_order_relaxed);
    if (back - popped_.load(std::memory_order_acquire) == kRoom) return nullptr;
    return &batches_[back % kRoom];
  }
  void Push() {
    pushed_.store(pushed_.load(std::memory_order_relaxed) + 1,
                  std::memory_order_release);
  }

  // The oldest batch, null if there is none. Pop() makes room.
  Batch* Front() {
    const long front = popped_.load(std::memory_order_relaxed);
    if (front == pushed_.load(std::memory_order_acquire)) return nullptr;
    return &batches_[front % kRoom];
  }
  void Pop() {
    popped_.store(popped_.load(std::memory_order_relaxed) + 1,
                  std::memory_order_release);
  }

 private:
  static constexpr long kRoom = 8;

  alignas(128) std::atomic<long> pushed_{0};
  alignas(128) std::atomic<long> popped_{0};
  alignas(128) Batch batches_[kRoom];
};

}  // namespace bench

#endif  // AOMALLOC_TEST_BENCH_PIPE_H_
