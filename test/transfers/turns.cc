#include "turns.h"

#include <algorithm>
#include <chrono>
#include <iterator>

namespace transfers {

// How long a turn may last before somebody takes it. It only does if the holder
// waits for the others in qemu itself, which it has no reason to.
constexpr std::chrono::seconds kPatience(20);

void Turns::Give(int thread) {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 17;
  random_ ^= random_ << 5;
  left_ = 1 + static_cast<int>(random_ % (2 * mean_));
  if (thread >= 0) {
    picoseconds_.fetch_add(left_ * kPicosecondsEach / (queue_.size() + 1),
                           std::memory_order_relaxed);
  }
  holder_.store(thread, std::memory_order_release);
  if (thread >= 0) given_[thread].notify_one();
}

void Turns::GiveToNext() {
  if (queue_.empty() || expected_ > 0) return Give(-1);
  const int next = queue_.front();
  queue_.pop_front();
  Give(next);
}

void Turns::Expect(int thread) {
  const std::lock_guard<std::mutex> lock(mutex_);
  is_expected_[thread] = true;
  ++expected_;
}

void Turns::Wait(int thread) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (is_expected_[thread]) {
    is_expected_[thread] = false;
    --expected_;
  }
  queue_.push_back(thread);
  const int holder = holder_.load(std::memory_order_relaxed);
  if (holder == thread || holder == -1) GiveToNext();
  while (holder_.load(std::memory_order_relaxed) != thread && !over()) {
    if (given_[thread].wait_for(lock, kPatience) == std::cv_status::timeout &&
        holder_.load(std::memory_order_relaxed) != thread && !over()) {
      Steal(thread);
    }
  }
}

void Turns::Steal(int thread) {
  ++stolen_;
  // One that was expected may not come: it could not be created.
  std::fill(std::begin(is_expected_), std::end(is_expected_), false);
  expected_ = 0;
  queue_.erase(std::find(queue_.begin(), queue_.end(), thread));
  Give(thread);
}

void Turns::Leave(int thread) {
  if (holder_.load(std::memory_order_acquire) != thread) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (holder_.load(std::memory_order_relaxed) == thread) GiveToNext();
}

void Turns::End() {
  const std::lock_guard<std::mutex> lock(mutex_);
  over_.store(true, std::memory_order_release);
  for (const int thread : queue_) given_[thread].notify_one();
}

}  // namespace transfers
