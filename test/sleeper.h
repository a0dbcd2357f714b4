// A thread that sleeps unless a test has something for it to do.
#ifndef AOMALLOC_TEST_SLEEPER_H_
#define AOMALLOC_TEST_SLEEPER_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace aomalloc {

class Sleeper {
 public:
  Sleeper() : thread_([this] { Work(); }) {}
  ~Sleeper() {
    Do(nullptr);
    thread_.join();
  }
  // Has it do that, and waits until it is done.
  void Do(std::function<void()> what) {
    const bool is_last = what == nullptr;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      what_ = std::move(what);
      is_last_ = is_last;
      is_told_ = true;
    }
    told_.notify_all();
    std::unique_lock<std::mutex> lock(mutex_);
    told_.wait(lock, [this] { return !is_told_; });
  }

 private:
  void Work() {
    bool is_last = false;
    while (!is_last) {
      std::unique_lock<std::mutex> lock(mutex_);
      told_.wait(lock, [this] { return is_told_; });
      if (what_ != nullptr) what_();
      is_last = is_last_;
      is_told_ = false;
      lock.unlock();
      told_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable told_;
  std::function<void()> what_;
  bool is_told_ = false;
  bool is_last_ = false;
  std::thread thread_;
};

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_SLEEPER_H_
