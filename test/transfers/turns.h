// Has the threads of the program run one at a time, in turn, for a few
// instructions each. So on one processor they meet as often as on one for each
// of them, all make the same progress, and what they do is in one order.
//
// A thread in a system call is left out, since it may wait there; it queues up
// when the call returns. When that is depends on the system. But nobody goes on
// while a thread that is being created has not queued up for the first time:
// else the others would be far ahead on a machine that is busy.
//
// The instructions also make a clock: on a machine that has a processor for
// each thread, those of a turn take as long as all the others' turns together.
#ifndef AOMALLOC_TEST_TRANSFERS_TURNS_H_
#define AOMALLOC_TEST_TRANSFERS_TURNS_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>

namespace transfers {

class Turns {
 public:
  static constexpr int kMostThreads = 2048;  // at a time

  // A turn has from 1 to 2 * `mean` instructions; how many, is by chance, but
  // the same each time.
  explicit Turns(int mean) : mean_(mean) {}

  // A thread is being created.
  void Expect(int thread);

  // To be called before a thread does so many instructions: returns when it is
  // this thread's turn.
  void Run(int thread, int instructions) {
    if (holder_.load(std::memory_order_acquire) == thread &&
        (left_ -= instructions) > 0) {
      return;
    }
    if (!over_.load(std::memory_order_acquire)) Wait(thread);
  }

  // Ends the thread's turn, if it has one. To be called before it does what
  // may wait.
  void Leave(int thread);

  // From now on nobody waits.
  void End();
  bool over() const { return over_.load(std::memory_order_acquire); }

  // What the clock says. It stands still while all threads are left out.
  uint64_t nanoseconds() const {
    return picoseconds_.load(std::memory_order_relaxed) / 1000;
  }

  // How often a thread was not given its turn in time, and took it. Then the
  // one that had it may have gone on: both are counted, in some order.
  int stolen() const { return stolen_; }

 private:
  void Wait(int thread);
  void Steal(int thread);
  void Give(int thread);
  void GiveToNext();

  static constexpr uint64_t kPicosecondsEach = 500;

  const int mean_;
  std::atomic<int> holder_{-1};
  std::atomic<bool> over_{false};
  std::atomic<uint64_t> picoseconds_{0};
  int left_ = 0;  // instructions; the holder's
  std::mutex mutex_;
  // Below: under the mutex.
  std::deque<int> queue_;
  bool is_expected_[kMostThreads] = {};
  int expected_ = 0;  // so many are
  std::condition_variable given_[kMostThreads];
  uint32_t random_ = 12345;
  int stolen_ = 0;
};

}  // namespace transfers

#endif  // AOMALLOC_TEST_TRANSFERS_TURNS_H_
