// The rows that are measured in nanoseconds per object: an object is a block
// that is allocated, written to once, and freed.
#ifndef AOMALLOC_TEST_BENCH_MICRO_H_
#define AOMALLOC_TEST_BENCH_MICRO_H_

#include <cstddef>
#include <cstdint>

namespace bench {

struct Row {
  const char* name;
  // What is there before the clock starts; null if nothing is.
  void (*prepare)();
  // Works through `objects` or some more; returns how many.
  long (*run)(long objects);
  // Seconds of work that the last run took; null where the row is one thread,
  // and it is what the process has used of a core. (Not the clock on the wall:
  // the machine may be busy.)
  double (*taken)() = nullptr;
};

// Each ends with a row that has no name.
extern const Row kPairRows[];
extern const Row kLiveRows[];
extern const Row kThreadRows[];

// Random sizes, 16 to 1024 bytes, each about as often, over and over. A table,
// because to draw one would take as long as a malloc.
class Sizes {
 public:
  static size_t At(long n) { return table_[n & (kCount - 1)]; }
  static void Fill();

 private:
  static constexpr long kCount = 1 << 14;
  static uint16_t table_[kCount];
};

}  // namespace bench

#endif  // AOMALLOC_TEST_BENCH_MICRO_H_
