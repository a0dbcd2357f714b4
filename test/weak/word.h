// A word of the model's memory: all that was ever written to it.
#ifndef AOMALLOC_TEST_WEAK_WORD_H_
#define AOMALLOC_TEST_WEAK_WORD_H_

#include <algorithm>
#include <vector>

#include "test/weak/model.h"
#include "test/weak/races.h"

namespace aomalloc::weak {

constexpr int kClocks = kMaxThreads + 2;  // SetUp is 0, the last one stops one

// A write in the modification order of its word.
struct Write {
  int thread;
  uint32_t time;
  AO_t value;
  Clock handed_on;  // what an acquire that reads it gets
  bool taken;       // a read-modify-write has read it: nothing comes between
};

struct Word {
  const AO_t* raw;
  std::vector<Write> writes;  // as they came
  std::vector<int> order;     // of modification
  // What each thread has read or written, and when: it has seen that, and all
  // that is older.
  struct Seen {
    uint32_t time;
    int write;
  };
  std::vector<Seen> seen[kClocks];
  unsigned users, writers;  // threads since SetUp, as sets

  int PlaceOf(int write) const {
    return static_cast<int>(std::find(order.begin(), order.end(), write) -
                            order.begin());
  }
  Write& Newest() { return writes[static_cast<size_t>(order.back())]; }
};

}  // namespace aomalloc::weak

#endif  // AOMALLOC_TEST_WEAK_WORD_H_
