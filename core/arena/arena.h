// Arenas: which units of memory are in use.
//
// Who touches what: any thread and handler may call anything here at any time.
// A unit belongs to the operation that set its bit in `used`, and to those that
// it hands the unit to. Only they write the unit's descriptor and memory. The
// bits alone say what is in use: there is no list that must agree with them.
//
// Commit: Take commits with the compare-and-swap that sets the bits of the
// run's last word (bitmap.h). Return clears the bits word by word, and the
// units of a word are free from that store on. An arena that grows (growth.h)
// has chunks that are not mapped: only the thread that maps a chunk marks units
// of it.
//
// Interruption: a thread that stops in the middle of Take keeps the units that
// it has marked so far. One that stops in the middle of Return keeps those that
// it has not cleared yet. Other threads see these units as in use, and do not
// wait for them. The counters are then wrong by that many units.
//
// An arena that grows also gives whole chunks back. Who does that marks all
// units of the chunk, which stay marked while it is not mapped. If it stops, it
// keeps these chunks, at most kMostUnmapped, or one in kUnmappedFraction.
//
// A unit's bit in `dirty` says that its memory may be other than zero. Return
// sets or clears it, and a purge clears it. A purge marks the units like Take,
// a few at a time. If it stops, it keeps these few.
#ifndef AOMALLOC_CORE_ARENA_ARENA_H_
#define AOMALLOC_CORE_ARENA_ARENA_H_

#include "core/arena/bitmap.h"
#include "core/arena/free_runs.h"
#include "core/arena/growth.h"
#include "core/arena/run.h"
#include "core/base/atomics.h"

namespace aomalloc {

class Arena {
 public:
  // An arena over memory that was mapped, and reads as zero. `table`, the
  // bitmaps and `hints` read as zero too. A bitmap has a bit for each unit, in
  // whole words; `hints` has HintsFor(units) words. All of the memory is there,
  // unless there is a `growth`: then `units` is the most that there may be, and
  // none is there at first.
  constexpr Arena(char* base, size_t units, int unit_shift, Run* table,
                  AtomicWord* used, AtomicWord* dirty, AtomicWord* hints,
                  Growth* growth = nullptr)
      : Arena(base, units, unit_shift, table, used, dirty, hints, growth, true,
              growth != nullptr ? 0 : units) {}

  // An arena over static memory. Its first `end` units may be used.
  constexpr Arena(char* base, size_t units, int unit_shift, Run* table,
                  AtomicWord* used, AtomicWord* dirty, AtomicWord* hints,
                  size_t end)
      : Arena(base, units, unit_shift, table, used, dirty, hints, nullptr,
              false, end) {}

  // The words of hints that so many units take.
  static constexpr size_t HintsFor(size_t units) {
    return FreeHints::WordsFor(units);
  }

  // Begins with some memory, for an arena that grows. To be called before
  // others know of the arena.
  void Begin();

  struct Taken {
    Run* run = nullptr;   // null if there is none
    bool zeroed = false;  // the memory is known to be zero
  };

  // Takes `count` > 0 units whose address is a multiple of `alignment` (a power
  // of two). Sets only `units` and `base` of the descriptor. `dense`: it is
  // likely that all of the run will be used.
  Taken Take(size_t count, size_t alignment, bool dense = false);

  // From now on only the first `count` units may be used, or all if there are
  // fewer. Units above that are in use already stay in use. Only for an arena
  // over static memory, and before there are other threads.
  void UseOnly(size_t count) {
    StoreRelaxed(&end_, count < units_ ? count : units_);
    BecameFree(0, end());
  }

  // Gives a run back. `dirty`: its memory may be other than zero.
  void Return(Run* run, bool dirty);

  // Grows the run at its end, in place, to `count` units. False if the units
  // behind it are in use or cannot be taken. Commits with the store to `units`;
  // if the operation stops before, the units behind the run stay in use for
  // ever.
  bool Extend(Run* run, size_t count);

  // Cuts the run to `count` units, fewer than it has, and returns the rest as a
  // run of its own. The caller then calls Return for that run; if the operation
  // stops before, it stays in use for ever.
  Run* Cut(Run* run, size_t count);

  // Purges free dirty units of a mapped arena while there are more than
  // `allowed`. Units that the system refuses to purge stay dirty, and others
  // are purged instead. After a few refusals it stops, unless the caller
  // insists, and the next call continues there.
  //
  // Huge pages that are free go first. Others are broken while more than
  // `spare` units beyond those allowed are free and dirty, those that are
  // mostly free first; and fuller ones for kEasy only while more than a
  // sixteenth of the units in use are.
  enum class Effort { kEasy, kBreak, kInsist };
  void PurgeExcess(size_t allowed, Effort effort = Effort::kEasy,
                   size_t spare = 0);

  // Gives the addresses of free chunks back while more than `allowed` units are
  // mapped, the highest first. A chunk with dirty units stays until it is
  // purged. Gives up after it has looked in vain at so many chunks. The next
  // call goes on there, and from the end again when it comes to the beginning.
  void UnmapExcess(size_t allowed, size_t looks = SIZE_MAX) {
    if (accessible_units() > allowed && growth_ != nullptr) {
      UnmapFree(allowed, looks);
    }
  }

  bool Contains(const void* address) const {
    const auto offset =
        static_cast<size_t>(static_cast<const char*>(address) - base_);
    return offset < units() << unit_shift_ &&
           IsUnitThere(offset >> unit_shift_);
  }
  // The descriptor of the unit at `address`, which the arena contains.
  Run* UnitAt(const void* address) const {
    return table_ +
           (static_cast<size_t>(static_cast<const char*>(address) - base_) >>
            unit_shift_);
  }
  bool Owns(const Run* run) const {
    return reinterpret_cast<uintptr_t>(run) -
               reinterpret_cast<uintptr_t>(table_) <
           units() * sizeof(Run);
  }
  char* AddressOf(const Run* run) const {
    return base_ + (static_cast<size_t>(run - table_) << unit_shift_);
  }

  char* base() const { return base_; }
  bool mapped() const { return mapped_; }
  // No unit from here on can be accessed. Below, some may not be either.
  size_t end() const { return LoadRelaxed(&end_); }
  bool IsAccessible(size_t unit) const {
    return unit < end() && IsUnitThere(unit);
  }
  // The kernel is to give the pages of a run, which are new, the size that
  // others around them have.
  void SizePages(const Run* run) const {
    if (growth_ == nullptr) return;
    growth_->huge_pages()->AskAgain(static_cast<size_t>(run - table_),
                                    run->units);
  }
  // True if a run begins or ends in a page for which it was asked for a huge
  // one.
  bool IsHuge(const Run* run) const {
    if (growth_ == nullptr) return false;
    const HugePages* pages = growth_->huge_pages();
    const auto first = static_cast<size_t>(run - table_);
    return pages->IsHuge(first) || pages->IsHuge(first + run->units - 1);
  }
  // Breaks the huge page in which a run of one unit lies, if half of it is
  // free, free blocks included, or an eighth if the caller insists. False if
  // the unit still lies in a huge page. For who has the run.
  bool BreakFor(const Run* run, bool insists);
  // The units for which it was asked for huge pages.
  size_t huge_units() const {
    if (growth_ == nullptr) return 0;
    const size_t end = Bitmap::WordsUpTo(this->end()) * kWordBits;
    return growth_->huge_pages()->Count(end) * HugePages::kUnits;
  }
  // The first unit from `unit` on that cannot be accessed.
  size_t NextInaccessible(size_t unit) const;
  bool grows() const { return growth_ != nullptr; }
  // True if it could grow by so many units, if the system has memory, as far as
  // one look can tell.
  bool HasRoom(size_t count) const {
    return growth_ != nullptr && growth_->HasRoom(count);
  }
  size_t limit_met() const {
    return growth_ == nullptr ? 0 : growth_->limit_met();
  }
  bool HasMetLimit() const { return limit_met() != 0; }
  size_t unit_bytes() const { return size_t{1} << unit_shift_; }
  // Where the free units begin that those below `there` end with; `there` if
  // there are none.
  size_t FreeTail(size_t there) const;
  // Those that have descriptors.
  size_t units() const {
    return growth_ == nullptr ? units_ : growth_->units();
  }
  Run* table() const { return table_; }
  size_t UnitsFor(size_t bytes) const {
    return (bytes >> unit_shift_) + ((bytes & (unit_bytes() - 1)) != 0);
  }
  // Counters. They are hints: other threads change them meanwhile.
  size_t used_units() const {
    return LoadRelaxed(&counts_) & ((AO_t{1} << kCountBits) - 1);
  }
  size_t dirty_units() const { return LoadRelaxed(&counts_) >> kCountBits; }
  // The units that can be accessed.
  size_t accessible_units() const {
    return growth_ == nullptr ? end() : growth_->mapped_units();
  }
  // Dirty units that the last call of PurgeExcess left beyond those allowed:
  // those in huge pages that it was not to break, those that the system refused
  // to purge, and those that are only counted, because a thread has stopped.
  size_t spared_units() const { return LoadRelaxed(&spared_); }
  size_t peak_used_units() const { return LoadRelaxed(&peak_used_); }
  size_t purges() const { return LoadRelaxed(&purges_); }
  size_t purged_units() const { return LoadRelaxed(&purged_); }
  // For purge.h: counts returns after which there is too much, and says how
  // many there were. It is here because a return has this cache line anyway. A
  // hint.
  size_t CountOccasion() {
    const AO_t count = LoadRelaxed(&occasions_) + 1;
    StoreRelaxed(&occasions_, count);
    return count;
  }
  // All units of a chunk that was unmapped are marked.
  bool InUse(size_t unit) const {
    return IsUnitThere(unit) &&
           (LoadRelaxed(&used_[unit / kWordBits]) >> (unit % kWordBits)) & 1;
  }
  bool IsDirty(size_t unit) const {
    return (LoadRelaxed(&dirty_[unit / kWordBits]) >> (unit % kWordBits)) & 1;
  }

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  static constexpr size_t kWordBits = Bitmap::kWordBits;
  static_assert(kWordBits == Growth::kChunkUnits);
  static constexpr size_t kNone = FreeRuns::kNone;
  // How many chunks, 32 MiB, one system call unmaps; or one part in so many of
  // those that are mapped.
  static constexpr size_t kMostUnmapped = 8;
  static constexpr size_t kUnmappedFraction = 64;
  // How much may stay free and dirty in huge pages that are not mostly free:
  // one part in so many of what is in use.
  static constexpr size_t kSparedFraction = 16;

  constexpr Arena(char* base, size_t units, int unit_shift, Run* table,
                  AtomicWord* used, AtomicWord* dirty, AtomicWord* hints,
                  Growth* growth, bool mapped, size_t end)
      : base_(base),
        units_(units),
        unit_shift_(unit_shift),
        mapped_(mapped),
        table_(table),
        used_(used),
        dirty_(dirty),
        growth_(growth),
        end_(end),
        hints_(hints),
        free_runs_(base, unit_shift, used, hints, &end_, growth) {}

  // True if the units of a word of bits are mapped, those that are free at
  // least.
  bool IsThere(size_t word) const {
    return growth_ == nullptr || growth_->IsMapped(word);
  }
  bool IsUnitThere(size_t unit) const {
    return growth_ == nullptr || growth_->IsUnitMapped(unit);
  }
  size_t EndOfThere(size_t start, size_t end) const;
  bool IsWorthHugePages(size_t count) const;
  bool IsTooGood(size_t start) const;
  bool Mark(size_t start, size_t count);
  size_t MarkFree(size_t from, size_t count, size_t alignment, bool sparse);
  size_t MarkOrGrow(size_t lowest, size_t first, size_t count, size_t alignment,
                    bool sparse);
  size_t MarkDense(size_t count, size_t alignment);
  void MendFull(size_t start, size_t count);
  size_t MarkAnywhere(size_t count, size_t alignment);
  void NoteFree(size_t start, size_t count);
  void Unmark(size_t start, size_t count);
  void BecameFree(size_t start, size_t count);
  // How much to grow by. More would keep system calls rarer, but a chunk is
  // filled in a hundred times as long as it takes to map one.
  size_t Step() const {
    constexpr size_t kMost = 512;  // units, 32 MiB
    const size_t share = accessible_units() / 32;
    return share < kMost ? share : kMost;
  }
  bool GrowFirst(size_t count);
  bool IsFor(size_t lowest, size_t tail, size_t there) const;
  size_t Grow(size_t count, size_t alignment, size_t lowest);
  bool GrowAt(size_t start, size_t end, bool huge);
  void MarkNew(const Growth::Piece& piece, size_t start, size_t end);
  void UnmapFree(size_t allowed, size_t looks);
  bool MarkChunk(size_t word);
  Growth::Piece MarkFreeChunks(size_t* top, size_t most, size_t* looks);
  void Publish(const Growth::Piece& piece);
  bool BeginUse(size_t start, size_t count);
  size_t CountDirty(size_t start, size_t count) const;
  void SetDirtyBits(size_t start, size_t count);
  void ClearDirtyBits(size_t start, size_t count);
  void AddToCounts(size_t used, size_t dirty);
  AO_t FreeDirtyIn(size_t word) const;
  void LowerDirtyHint(size_t group);
  // A sweep over the arena that purges.
  struct Sweep {
    static constexpr int kManyRefusals = 4;
    bool GivesUp() const { return refusals >= kManyRefusals && !insists; }

    size_t allowed = 0;        // it stops when no more are free and dirty
    size_t wanted = SIZE_MAX;  // likewise, when it has purged so many
    size_t purged = 0;
    size_t fullest = 0;    // it breaks huge pages with so many units in use
    size_t left = 0;       // what it found in fuller ones
    bool insists = false;  // whatever is refused
    bool all = false;      // units that are resident and not dirty, too
    int refusals = 0;
  };
  size_t BytesInUse(size_t page) const;
  void PurgeUnits(size_t word, AO_t bits, Sweep* sweep);
  // Purges what is dirty of a run that begins with units that were used and
  // goes on with new ones: then all of it is zero, and calloc does not touch
  // it. The caller has marked the units.
  void Clean(size_t start, size_t end);
  void LetGo(size_t word, AO_t bits);
  void PurgeFree(size_t word, AO_t used, AO_t bits, Sweep* sweep);
  void PurgeFreeOfHuge(size_t word, AO_t used, AO_t page, Sweep* sweep);
  void PurgePage(size_t word, AO_t page, Sweep* sweep);
  void PurgeAll(Sweep* sweep);

  char* const base_;
  const size_t units_;
  const int unit_shift_;
  const bool mapped_;
  Run* const table_;
  AtomicWord* const used_;
  AtomicWord* const dirty_;
  Growth* const growth_;
  AtomicWord end_;  // see end()
  FreeHints hints_;
  FreeRuns free_runs_;

  // Below: what taking and returning runs writes, or reads each time, all on
  // one cache line. What is above changes only when the arena grows.

  // Hint: units below it are in use.
  alignas(64) AtomicWord first_free_ = 0;
  // The same, of the units from kFirstUnit on.
  AtomicWord first_free_dense_ = 0;
  // Two counts in one word, because they change together: the units in use, and
  // from this bit on the units that are free and dirty.
  static constexpr int kCountBits = 32;
  AtomicWord counts_ = 0;
  AtomicWord peak_used_ = 0;  // for reports: the most units that were in use
  AtomicWord spared_ = 0;     // see spared_units()
  // Units of the dense runs that were ever taken while they were not worth huge
  // pages.
  AtomicWord dense_ = 0;
  AtomicWord purged_ = 0;     // units
  AtomicWord occasions_ = 0;  // see CountOccasion

  // Hint: the system refused to purge units of the words from here on; 0: none.
  alignas(64) AtomicWord purge_from_ = 0;
  // Hint: where the next search for chunks to unmap begins, downwards; 0: at
  // the end.
  AtomicWord unmap_from_ = 0;
  AtomicWord purges_ = 0;  // for reports: how many there were
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_ARENA_ARENA_H_
