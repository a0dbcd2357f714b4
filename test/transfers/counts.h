// What is counted: the traffic of every line of the program's memory, what the
// line is, and where the accesses were made.
//
// One thread at a time may call anything here (plugin.cc has a mutex).
#ifndef AOMALLOC_TEST_TRANSFERS_COUNTS_H_
#define AOMALLOC_TEST_TRANSFERS_COUNTS_H_

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <unordered_map>
#include <vector>

#include "cache_line.h"
#include "regions.h"

namespace transfers {

constexpr int kLineShift = 6;
constexpr int kPageShift = 12;

// What a line is.
enum Kind { kAllocatorsLine, kBlockLine, kStackLine, kProgramsLine, kKinds };

struct Sum {
  uint64_t transfers = 0;
  uint64_t invalidations = 0;

  void Add(const Traffic& traffic) {
    transfers += traffic.transfer ? 1 : 0;
    invalidations += traffic.invalidated;
  }
};

// By what the line is, and whether the thread was inside the allocator.
using Sums = std::array<std::array<Sum, 2>, kKinds>;

class Counts {
 public:
  explicit Counts(std::string allocator) : regions_(std::move(allocator)) {}

  Regions& regions() { return regions_; }

  struct Access {
    uint32_t cache;
    bool inside;  // the allocator
    bool store;
    uint64_t code;  // the instruction
  };
  void Add(const Access& access, uint64_t address, unsigned size);

  // The system has put other memory there, or will.
  void Forget(uint64_t start, uint64_t size);
  // What is mapped there has another owner.
  void Changed(uint64_t start, uint64_t size);

  void Allocated(uint32_t cache, uint64_t block, uint64_t size);
  void Freeing(uint32_t cache, uint64_t block);

  void Write(FILE* out) const;

 private:
  static constexpr int kLines = 1 << (kPageShift - kLineShift);

  struct Page {
    explicit Page(Owner owner) : owner(owner) {}
    Owner owner;
    uint64_t blocks = 0;  // a bit for each line that blocks were in
    CacheLine lines[kLines];
  };

  // One instruction that had traffic with a line, or with any line.
  struct Place {
    Sum sum;
    bool store = false;
  };
  // A line that had traffic.
  struct Detail {
    Kind kind = kAllocatorsLine;
    Sum sum;
    std::unordered_map<uint64_t, Place> places;
  };

  Page& PageAt(uint64_t number);
  void AddToLine(const Access& access, uint64_t line);
  static void WriteSums(FILE* out, const Sums& sums);
  static void WritePlaces(FILE* out,
                          const std::unordered_map<uint64_t, Place>& places);
  template <typename F>
  void ForPages(uint64_t start, uint64_t size, F f);

  Regions regions_;
  std::unordered_map<uint64_t, Page> pages_;
  // The pages that were looked for last.
  struct Found {
    uint64_t number = ~uint64_t{0};
    Page* page = nullptr;
  };
  std::array<Found, 1024> found_;

  Sums sums_;
  std::vector<Sums> milestones_;  // after each kStep objects
  static constexpr uint64_t kStep = 256;
  std::unordered_map<uint64_t, Detail> details_;  // by line
  std::unordered_map<uint64_t, Place> places_[kKinds];

  struct Block {
    uint32_t cache;
    uint64_t size;
  };
  std::unordered_map<uint64_t, Block> live_;
  uint64_t objects_ = 0;
  uint64_t exchanged_ = 0;  // freed by another thread
  uint64_t accesses_ = 0;
};

}  // namespace transfers

#endif  // AOMALLOC_TEST_TRANSFERS_COUNTS_H_
