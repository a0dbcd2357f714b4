// A mixture of operations, each of them exposed (interrupt.h), on blocks whose
// contents are checked.
#ifndef AOMALLOC_TEST_ABANDONED_OPERATIONS_WORKLOAD_H_
#define AOMALLOC_TEST_ABANDONED_OPERATIONS_WORKLOAD_H_

#include <atomic>

#include "test/abandoned_operations/common.h"

namespace abandon {

// Blocks on their way from one thread to another.
class Pipe {
 public:
  // False if it is full, or empty.
  bool Put(const Held& held);
  bool Take(Held* held);

 private:
  static constexpr size_t kSlots = 64;
  Held slots_[kSlots];
  std::atomic<size_t> put_{0};
  std::atomic<size_t> taken_{0};
};

class Workload {
 public:
  enum Round { kSlabs, kSpans, kResizes, kTrim, kInfo, kNumRounds };

  // Each size class takes memory, of which the static heap has little.
  static size_t MaxSize();

  explicit Workload(uint64_t seed) : random_(seed) {}

  // One operation on small blocks. Whatever it has in hand is lost if it is
  // abandoned, and nothing else.
  void Operate();

  // All operations of a kind that few others lead to.
  void Do(Round round);

  // From now on some blocks are freed by others, and some of theirs here.
  void Share(Pipe* outgoing, Pipe* incoming);

  // Frees some blocks, whatever is interrupted.
  void GiveSome();
  void GiveAll();

 private:
  static constexpr size_t kSlots = 256;
  // Blocks of kBatchSize: more than a slab. In the static heap, where slabs are
  // short, the first quarter of them is.
  static constexpr size_t kBatch = 72;
  static constexpr size_t kBatchSize = 1100;
  static constexpr size_t kMaxSpans = 10;

  void Take(Held* slot, size_t size);
  void Refresh(Held* slot, size_t size);
  void Resize(Held* slot, size_t size);
  void Give(Held* slot);

  Random random_;
  Held slots_[kSlots];
  Held batch_[kBatch];
  Held spans_[kMaxSpans];
  int operations_ = 0;
  Pipe* outgoing_ = nullptr;
  Pipe* incoming_ = nullptr;
};

// Learns the places of operations on small blocks.
void Learn(Workload* workload);

}  // namespace abandon

#endif  // AOMALLOC_TEST_ABANDONED_OPERATIONS_WORKLOAD_H_
