// Huge pages: for which memory of an arena that grows the kernel is asked for
// them.
//
// A huge page takes one page fault, and one entry of the TLB, instead of 512.
// But all of it is resident as soon as one byte of it was touched. So where
// they are asked for (Choice::kAuto), the arena has two areas. Below kFirstUnit
// pages are small: for small heaps, also for the first dense runs of larger
// ones, for runs that are larger than all else that is in use, and for sparse
// runs, of which a little may be used: a slab that does not follow a full one,
// as each of many threads has some of, and a span that has not grown. From
// kFirstUnit on dense runs are taken, and the arena grows by huge pages. With a
// ceiling, which counts what is resident, there are none.
//
// A purge gives whole huge pages back. Before it gives back a part of one it
// breaks the page: it tells the kernel to use small ones there, or the kernel
// would fill the page again in the background. When all units of a broken page
// are free, it is purged as a whole, and made huge again; so it is when dense
// runs take all of it.
//
// Who touches what: any thread and handler may call anything at any time, as
// far as nothing else is said below. The bits are hints: who reads one too
// early or too late breaks a page too many or too few.
//
// Interruption: stopped between the bit of a page and the system call, a thread
// leaves a page that is not what its bit says: the kernel uses a huge one where
// small ones were wanted, or the reverse. The same holds if it refuses a call.
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
    kAuto,    // what is said above, if the system gives them to those that ask
    kNever,   // none, also if the system gives them to everybody
    kAlways,  // everywhere
  };
  static void Choose(Choice choice);

  // Where huge pages begin. Below it are 128 MiB of addresses.
  static constexpr size_t kFirstUnit = 2048;

  // True if `count` units, all of which are likely to be used, should be in
  // huge pages, in an arena that has `used` units in use, and has given `dense`
  // such units out from small pages.
  static bool AreWorthwhile(size_t count, size_t used, size_t dense);

  // True if a run of huge pages leaves little of its last one.
  static bool AreFilledBy(size_t count) {
    return (kUnits - count % kUnits) % kUnits <= count / 8;
  }

  // True if a sparse run should not be at `unit`, if there is another place.
  bool AreTooGoodFor(size_t unit) const;

  // True if it was asked for no huge page in [start, end). Then what is mapped
  // behind has small pages as well.
  bool MayBeSparse(size_t start, size_t end) const;

  // The first unit behind the page of `unit`; and the first one behind it that
  // is in no huge page, or `end`.
  static size_t NextPage(size_t unit) { return (unit / kUnits + 1) * kUnits; }
  size_t NextSmall(size_t unit, size_t end) const {
    return huge_.NextClear(unit / kUnits + 1, end / kUnits) * kUnits;
  }

  // Asks for the memory of a piece, which was just mapped.
  static void AskForPiece(void* start, size_t bytes);

  // Of an arena whose chunks are two huge pages. The bitmaps are zero. `asked`
  // and `huge` have a bit for each huge page.
  constexpr HugePages(char* base, AtomicWord* asked, AtomicWord* huge)
      : base_(base), asked_(asked), huge_(huge) {}

  // Asks for the chunks of [start, end), which were just mapped, as the user
  // has chosen; `huge` is for kAuto. For the thread that has claimed the
  // chunks, before it publishes them.
  void Ask(size_t start, size_t end, bool huge);

  // The same once more for units whose pages were replaced by new ones. For who
  // has marked them.
  void AskAgain(size_t start, size_t count) const;

  // True if the kernel was asked for a huge page for the unit.
  bool IsHuge(size_t unit) const { return huge_.IsSet(unit / kUnits); }
  // True if it was, and the page is broken.
  bool IsBroken(size_t unit) const { return IsAsked(unit) && !IsHuge(unit); }

  // Breaks the page of `unit`. For a thread that has marked some of its units,
  // in an arena whose memory ends at `end`.
  void Break(size_t unit, size_t end);

  // Makes the page of `unit` huge again. For a thread that has marked some of
  // its units, while all of them are marked.
  void Mend(size_t unit);

  // The huge pages of [0, end), which begin and end with a chunk.
  size_t Count(size_t end) const;

 private:
  bool IsAsked(size_t unit) const { return asked_.IsSet(unit / kUnits); }
  char* PageOf(size_t unit) const { return base_ + unit / kUnits * kBytes; }
  bool HasManyMappings(size_t end) const;

  char* const base_;
  Bitmap asked_;
  Bitmap huge_;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_ARENA_HUGE_PAGES_H_
