// Random numbers for tests and benchmarks.
#ifndef AOMALLOC_TEST_RANDOM_H_
#define AOMALLOC_TEST_RANDOM_H_

#include <cstddef>
#include <cstdint>

namespace aomalloc {

// The same numbers in every run, for each seed (xorshift64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  // In [0, bound).
  size_t Below(size_t bound) { return Next() % bound; }
  // In [low, high].
  size_t Between(size_t low, size_t high) {
    return low + Below(high - low + 1);
  }
  // In [0, bound), every order of magnitude about as often.
  size_t SkewedBelow(size_t bound) {
    const size_t below = bound >> Below(64 - __builtin_clzl(bound));
    return Below(below + 1) % bound;
  }

 private:
  uint64_t state_;
};

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_RANDOM_H_
