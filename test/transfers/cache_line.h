// One line of memory, and which caches have it: MESI, where each thread has a
// cache of its own that never has to drop anything.
//
// Exclusive and modified are one state here. To the cache that has such a line
// neither costs anything, and every other gets the line from there.
#ifndef AOMALLOC_TEST_TRANSFERS_CACHE_LINE_H_
#define AOMALLOC_TEST_TRANSFERS_CACHE_LINE_H_

#include <cstdint>
#include <memory>
#include <vector>

namespace transfers {

// What an access made the caches do.
struct Traffic {
  bool transfer = false;     // the line came from another's cache
  uint32_t invalidated = 0;  // so many others had to drop it

  explicit operator bool() const { return transfer || invalidated != 0; }
};

class CacheLine {
 public:
  Traffic Load(uint32_t cache) {
    if (only_ == cache + 1) return {};
    if (only_ == 0 && sharers_ == nullptr) {
      only_ = cache + 1;  // from memory
      return {};
    }
    if (sharers_ == nullptr) {
      sharers_ = std::make_unique<Sharers>();
      sharers_->Add(only_ - 1);
      only_ = 0;
    }
    return {sharers_->Add(cache), 0};
  }

  Traffic Store(uint32_t cache) {
    if (only_ == cache + 1) return {};
    Traffic traffic;
    if (sharers_ != nullptr) {
      traffic.transfer = sharers_->Add(cache);
      traffic.invalidated = sharers_->count() - 1;
      sharers_ = nullptr;
    } else if (only_ != 0) {
      traffic = {true, 1};
    }
    only_ = cache + 1;
    return traffic;
  }

  // Nobody has it any more: the system has put other memory there.
  void Forget() {
    only_ = 0;
    sharers_ = nullptr;
  }

 private:
  // The caches that share it.
  class Sharers {
   public:
    // False if it was there.
    bool Add(uint32_t cache) {
      if (cache / 64 >= words_.size()) words_.resize(cache / 64 + 1);
      uint64_t& word = words_[cache / 64];
      const uint64_t bit = uint64_t{1} << cache % 64;
      if ((word & bit) != 0) return false;
      word |= bit;
      ++count_;
      return true;
    }
    uint32_t count() const { return count_; }

   private:
    std::vector<uint64_t> words_;
    uint32_t count_ = 0;
  };

  uint32_t only_ = 0;  // the only cache that has it, from 1 on; 0 if none has
  std::unique_ptr<Sharers> sharers_;  // if several have it
};

}  // namespace transfers

#endif  // AOMALLOC_TEST_TRANSFERS_CACHE_LINE_H_
