// Huge pages: for which memory of an arena that grows the kernel is asked for
// them.
//
// A huge page takes one page fault and one entry of the TLB instead of 512. But
// all of it is resident as soon as one byte of it was touched. So the kernel is
// asked only where an arena grows, and not
//
//   - for its first chunks, and where a run is wanted that is larger than all
//     that there is: small heaps stay on small pages, and so does a large block
//     of which little may ever be touched
//   - while most runs that are taken are sparse: a slab of which a block or two
//     may be used, as each of many threads has some
//   - below a ceiling: then it counts what is resident.
//
// A purge gives whole huge pages back. To purge a part of one it breaks the
// page: from then on the kernel is asked for small ones there. (Otherwise the
// kernel would fill the page again, in the background.) When all units of a
// broken page are free, it is purged as a whole, and becomes huge again.
//
// Who touches what: any thread and handler may call anything at any time, as
// far as nothing else is said below. The bits are hints: a thread that reads
// one too early or too late breaks a page too many or too few.
//
// Interruption: a thread that stops between the bit of a page and the system
// call leaves a page that is not what its bit says. Then the kernel uses a huge
// page where small ones were wanted, or the reverse.
#ifndef AOMALLOC_CORE_ARENA_HUGE_PAGES_H_
#define AOMALLOC_CORE_ARENA_HUGE_PAGES_H_

#include <cstddef>

#include "core/arena/bitmap.h"
#include "core/base/atomics.h"

namespace aomalloc {

class HugePages {
 public:
  // The units of a huge page, and the words of bits for so many units.
  static constexpr size_t kUnits = 32;
  static constexpr size_t kBytes = size_t{2} << 20;

  // What the user wants.
  enum class Choice : AO_t {
    kAuto,    // what is said above
    kNever,   // none, also where the system gives them to everybody
    kAlways,  // wherever an arena grows
  };
  static void Choose(Choice choice);

  // Where to look for a dense run of `count` units in an arena of which `used`
  // are in use.
  static size_t FirstUnit(size_t count, size_t used);

  // Below this unit pages are small. It leaves 256 MiB of addresses.
  static constexpr size_t kFirstUnit = 4096;
  static bool InOneArea(size_t unit, size_t other) {
    return (unit < kFirstUnit) == (other < kFirstUnit);
  }

  // Of an arena whose chunks are two huge pages. The bitmaps are zero. `asked`
  // and `huge` have a bit for each huge page.
  constexpr HugePages(char* base, AtomicWord* asked, AtomicWord* huge)
      : base_(base), asked_(asked), huge_(huge) {}

  // Asks for the chunks of [start, end), which were just mapped, if they are to
  // be huge. For the thread that has claimed the chunks, before it publishes
  // them.
  void Ask(size_t start, size_t end);

  // The same once more for units whose pages were replaced by new ones. For who
  // has marked them.
  void AskAgain(size_t start, size_t count) const;

  // True if the kernel was asked for a huge page for the unit.
  bool IsHuge(size_t unit) const { return huge_.IsSet(unit / kUnits); }
  // True if the page of the unit is broken.
  bool IsBroken(size_t unit) const { return IsAsked(unit) && !IsHuge(unit); }

  // Breaks the page of `unit`. For a thread that has marked some of its units,
  // in an arena whose memory ends at `end`.
  void Break(size_t unit, size_t end);

  // Makes the page of `unit` huge again. For a thread that has marked all of
  // its units.
  void Mend(size_t unit);

  // The huge pages of [0, end), which begin and end with a chunk.
  size_t Count(size_t end) const;

 private:
  bool IsAsked(size_t unit) const { return asked_.IsSet(unit / kUnits); }
  char* PageOf(size_t unit) const { return base_ + unit / kUnits * kBytes; }
  static bool AreWanted(size_t start);
  bool HasManyMappings(size_t end) const;

  char* const base_;
  Bitmap asked_;
  Bitmap huge_;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_ARENA_HUGE_PAGES_H_
