// Arenas: which units of memory are in use. Runs in, runs out.
//
// Who touches what: everything here may be called by any thread and handler at
// any time. A unit belongs to whoever set its bit in `used`; that thread alone
// writes its descriptor and its memory. The bits are the only truth: there is
// no list to keep in step.
//
// Take commits with the compare-and-swap that sets the bits of the run's last
// word; Return with the one that clears its bits. A run that spans several
// words of bits is claimed word by word, upwards, and let go again if a later
// word turns out taken. Stopped in the middle, a thread keeps the units that
// it has claimed so far and nothing else, and nobody waits for it: others see
// them as in use. Claiming upwards makes it lock-free: of several threads that
// get in one another's way, the one that holds the highest unit is not stopped
// by the others.
//
// A unit that has been written to is dirty, in use or not, until it is purged.
// Purging claims the units like anybody else.
#ifndef AOMALLOC_CORE_ARENA_H_
#define AOMALLOC_CORE_ARENA_H_

#include "core/atomics.h"
#include "core/run.h"

namespace aomalloc {

class Arena {
 public:
  // An arena over memory that is reserved, and reads as zero when it is
  // committed. `table` and the two bitmaps too; one bit a unit, in whole words.
  constexpr Arena(char* base, size_t units, int unit_shift, Run* table,
                  AtomicWord* used, AtomicWord* dirty)
      : Arena(base, units, unit_shift, table, used, dirty, true, 0) {}

  // An arena over memory that is there already, of which the first `committed`
  // units may be used.
  constexpr Arena(char* base, size_t units, int unit_shift, Run* table,
                  AtomicWord* used, AtomicWord* dirty, size_t committed)
      : Arena(base, units, unit_shift, table, used, dirty, false, committed) {}

  struct Taken {
    Run* run = nullptr;    // null: there is none
    bool zeroed = false;   // the memory is known to be zero
    bool refused = false;  // there is room, but the system has no memory
  };

  // Takes `count` > 0 units whose address is a multiple of `alignment` (a power
  // of two). Sets only `units` and `base` of the descriptor.
  Taken Take(size_t count, size_t alignment);

  // Of memory that is there already, has the first `count` units used from now
  // on, or all if there are fewer. Those in use stay so.
  void CommitOnly(size_t count) {
    StoreRelaxed(&committed_, count < units_ ? count : units_);
  }

  // Makes the units below `end` and their descriptors accessible. False when
  // the system has no memory to promise. Idempotent: who is stopped half way
  // has done no harm, and others do the same again.
  bool CommitUpTo(size_t end);

  // Gives a run back. `dirty` tells that its memory may be other than zero.
  void Return(Run* run, bool dirty);

  // Grows or shrinks the run at its end, in place. Growing fails if the units
  // behind it are in use.
  bool Resize(Run* run, size_t count);

  // Purges free dirty units while there are more than `allowed`, or until the
  // system refuses.
  void PurgeExcess(size_t allowed);

  bool Contains(const void* address) const {
    return static_cast<size_t>(static_cast<const char*>(address) - base_) <
           units_ << unit_shift_;
  }
  // The unit that holds `address`, which the arena contains.
  Run* UnitAt(const void* address) const {
    return table_ +
           (static_cast<size_t>(static_cast<const char*>(address) - base_) >>
            unit_shift_);
  }
  bool Owns(const Run* run) const {
    return reinterpret_cast<uintptr_t>(run) -
               reinterpret_cast<uintptr_t>(table_) <
           units_ * sizeof(Run);
  }
  char* AddressOf(const Run* run) const {
    return base_ + (static_cast<size_t>(run - table_) << unit_shift_);
  }

  char* base() const { return base_; }
  bool mapped() const { return mapped_; }
  size_t unit_bytes() const { return size_t{1} << unit_shift_; }
  size_t units() const { return units_; }
  Run* table() const { return table_; }
  size_t UnitsFor(size_t bytes) const {
    return (bytes >> unit_shift_) + ((bytes & (unit_bytes() - 1)) != 0);
  }
  // Counters; hints, as other threads move on.
  size_t used_units() const {
    return LoadRelaxed(&counts_) & ((AO_t{1} << kCountBits) - 1);
  }
  size_t dirty_units() const { return LoadRelaxed(&counts_) >> kCountBits; }
  size_t committed_units() const { return LoadRelaxed(&committed_); }
  size_t peak_used_units() const { return LoadRelaxed(&peak_used_); }
  size_t purges() const { return LoadRelaxed(&purges_); }
  size_t purged_units() const { return LoadRelaxed(&purged_); }
  bool InUse(size_t unit) const {
    return (LoadRelaxed(&used_[unit / kWordBits]) >> (unit % kWordBits)) & 1;
  }
  bool IsDirty(size_t unit) const {
    return (LoadRelaxed(&dirty_[unit / kWordBits]) >> (unit % kWordBits)) & 1;
  }

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  static constexpr size_t kWordBits = 64;
  static constexpr size_t kNone = ~size_t{0};

  constexpr Arena(char* base, size_t units, int unit_shift, Run* table,
                  AtomicWord* used, AtomicWord* dirty, bool mapped,
                  size_t committed)
      : base_(base),
        units_(units),
        unit_shift_(unit_shift),
        mapped_(mapped),
        table_(table),
        used_(used),
        dirty_(dirty),
        committed_(committed) {}

  // Units from here on cannot be had.
  size_t end() const { return mapped_ ? units_ : LoadRelaxed(&committed_); }
  size_t FindFree(size_t from, size_t count, size_t alignment) const;
  size_t NextUsed(size_t from, size_t end) const;
  size_t NextFree(size_t from, size_t end) const;
  bool Claim(size_t start, size_t count);
  void Unclaim(size_t start, size_t count);
  bool BeginUse(size_t start, size_t count);
  size_t CountDirty(size_t start, size_t count) const;
  void SetDirtyBits(size_t start, size_t count);
  void ClearDirtyBits(size_t start, size_t count);
  void AddToCounts(size_t used, size_t dirty);
  bool PurgeUnits(size_t word, AO_t units);

  char* const base_;
  const size_t units_;
  const int unit_shift_;
  const bool mapped_;
  Run* const table_;
  AtomicWord* const used_;
  AtomicWord* const dirty_;
  AtomicWord committed_;       // units below it can be accessed
  AtomicWord first_free_ = 0;  // hint: units below it are in use
  // Units in use, and from this bit on those that are free and dirty: one word,
  // as they change together.
  static constexpr int kCountBits = 32;
  AtomicWord counts_ = 0;
  // For reports: the most units that were in use; how often the system was
  // given some back, and how many.
  AtomicWord peak_used_ = 0;
  AtomicWord purges_ = 0;
  AtomicWord purged_ = 0;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_ARENA_H_
