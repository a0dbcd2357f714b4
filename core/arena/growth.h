// Growth: how an arena grows where it is, and shrinks, chunk by chunk, without
// a reservation.
//
// An arena that grows has a range of addresses in mind, far from where the
// system puts mappings, and no more of it than it uses. A chunk is 64 units,
// those of one word of the arena's bits. Chunks are mapped by a call that fails
// where there is something already, so what a program has put there stays.
//
// Who touches what: any thread and handler may call anything at any time. A
// chunk belongs to the thread that set its bit in `claimed`; that thread alone
// maps it. Publish then sets its bit in `mapped`: from then on its units belong
// to those who mark them. Who has marked all of them may unmap the chunk: it
// clears the bit in `mapped`, unmaps the memory, and lets go of the chunk, in
// this order. The units stay marked until the chunk is mapped again. So a
// thread that found the chunk in `mapped` a while ago can mark none of them.
//
// An arena may begin with the first units of its first chunk: a process that
// may have or lock few addresses has less then. The rest of the chunk is mapped
// part by part, before any other chunk, by the thread that set `rest_claimed_`.
// Its units stay marked until then.
//
// Interruption: stopped between the two bits, a thread keeps back the chunks
// that it has claimed or has begun to unmap, and nothing else; others claim the
// next ones. Stopped while it maps more of the first chunk, it keeps the rest.
// Stopped between mapping more of the table and saying so, it leaves an arena
// that grows no further than its table. Map and MapAt then fail beyond that. So
// they do while another thread is just there, which is why the table grows
// ahead of need.
#ifndef AOMALLOC_CORE_ARENA_GROWTH_H_
#define AOMALLOC_CORE_ARENA_GROWTH_H_

#include "core/arena/bitmap.h"
#include "core/arena/huge_pages.h"
#include "core/arena/run.h"
#include "core/base/atomics.h"
#include "core/base/os_memory.h"

namespace aomalloc {

class Growth {
 public:
  static constexpr size_t kChunkUnits = 64;
  // So much of the first chunk is mapped at a time, if not all of it.
  static constexpr size_t kFirstUnits = 8;
  // So much of the table is mapped at first, then as much as there is, and so
  // much of a large one.
  static constexpr size_t kTableUnits = size_t{1 << 17} / sizeof(Run);
  static constexpr size_t kLargeTableUnits = 8 * kTableUnits;

  // Of an arena that has room for `most` units, a multiple of kLargeTableUnits,
  // of which kTableUnits have their descriptors and their bits in the arena.
  // The bitmaps here are zero, and have a bit for each chunk.
  Growth(char* base, int unit_shift, Run* table, size_t most,
         AtomicWord* claimed, AtomicWord* mapped, HugePages* huge_pages)
      : base_(base),
        unit_shift_(unit_shift),
        table_(table),
        most_(most),
        claimed_(claimed),
        mapped_(mapped),
        huge_pages_(huge_pages) {}

  // The units that have descriptors, which read as zero at first.
  size_t units() const { return LoadAcquire(&units_); }

  // The units that are mapped.
  size_t mapped_units() const { return LoadRelaxed(&mapped_units_); }

  // Acquire: the memory is there, but for the rest of the first chunk.
  bool IsMapped(size_t chunk) const { return mapped_.IsSet(chunk); }

  // For a walk downwards: `end`, or less if there are chunks just below it that
  // are not mapped. A hint: others map and unmap chunks meanwhile.
  size_t PassUnmapped(size_t end) const {
    if (end == 0) return 0;
    const size_t word = (end - 1) / Bitmap::kWordBits;
    const AO_t bits =
        LoadRelaxed(mapped_.word(word)) & Bitmap::MaskIn(word, 0, end);
    return (word + 1) * Bitmap::kWordBits - Bitmap::CountLeadingZeros(bits);
  }

  HugePages* huge_pages() const { return huge_pages_; }

  // The same for a unit.
  bool IsUnitMapped(size_t unit) const {
    // Acquire: pairs with the release in MapMoreOfFirst.
    return IsMapped(unit / kChunkUnits) &&
           (unit >= kChunkUnits || unit < LoadAcquire(&first_units_));
  }

  // Units from `start` to `end` that nobody else sees: whole chunks, or some of
  // the first.
  struct Piece {
    size_t start = 0;
    size_t end = 0;  // `start` if there are none
  };

  // For an arena that is to map all it has, which nobody else knows of yet.
  // Begin maps the first part of the table, and of the arena's bitmaps, which
  // then grow with it. If it fails, nothing is mapped. MapFirst maps the first
  // kFirstUnits units. It is false if the system refuses. End unmaps all that.
  os::Filled Begin(AtomicWord* used, AtomicWord* dirty);
  bool MapFirst();
  void End();

  // Maps kFirstUnits more of the first chunk, whose units are marked, and
  // returns them. An empty piece if they are all mapped, or are just being
  // mapped, or cannot be.
  Piece MapMoreOfFirst();

  // Maps chunks that have `least` units, or as many as `wanted`, from the unit
  // `lowest` on if there is room, and of huge pages if `huge`. An empty piece
  // when the system has no memory to promise, or there is no room.
  Piece Map(size_t least, size_t wanted, size_t lowest = 0, bool huge = false);

  // The same, just at `start`, where a chunk begins. If the pages before it are
  // huge, its are, too.
  Piece MapAt(size_t start, size_t least, size_t wanted, bool huge);

  // True if there is room for `units`, as far as one look can tell.
  bool HasRoom(size_t units) const;

  // Lets everybody see a piece.
  void Publish(const Piece& piece);

  // Unmaps a piece all of whose units the caller has marked. When LetGo is
  // called afterwards, the piece can be mapped again.
  enum class Unmapped {
    kDone,
    kRefused,  // it is as it was
    kUnknown,  // its units must stay marked
  };
  Unmapped Unmap(const Piece& piece);
  void LetGo(const Piece& piece);

  // How many units this arena would have had when the system last refused to
  // let it grow, unless it asked for more than twice what it had: what it has
  // free, others may lack. 0 if the system never did, or has granted an eighth
  // more since.
  size_t limit_met() const { return LoadRelaxed(&limit_met_); }

  // True if the system has refused to unmap something again and again.
  bool CannotUnmap() const { return LoadRelaxed(&unmap_failures_) > 10; }

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  static constexpr size_t kNone = ~size_t{0};

  static size_t ChunksFor(size_t units) {
    return units / kChunkUnits + (units % kChunkUnits != 0);
  }
  size_t FindUnclaimed(size_t from, size_t count) const;
  void PassBy(size_t first, size_t count);
  // How much of the table is mapped next when it has so many units.
  static size_t TableStep(size_t units) {
    return units < kLargeTableUnits ? units : kLargeTableUnits;
  }
  // What belongs to the units from `units` on: descriptors and, unless they are
  // all there, the bits of the arena.
  static constexpr int kParts = 3;
  struct Range {
    char* start;
    size_t bytes;
  };
  Range Part(int part, size_t units, size_t more) const;
  os::Filled FillParts(size_t units, size_t more);
  void NameParts(size_t units, size_t more);
  void UnmapParts(int count, size_t units, size_t more);
  bool ExtendTable(size_t end);
  void Show(const Piece& piece);
  os::Filled Fill(const Piece& piece, bool huge);
  void NoteRefusal(size_t units);

  char* const base_;
  const int unit_shift_;
  Run* const table_;
  const size_t most_;
  AtomicWord* bits_[kParts - 1] = {};  // where they begin, if they grow
  AtomicWord units_ = kTableUnits;
  AtomicWord mapped_units_ = 0;
  AtomicWord first_units_ = kChunkUnits;  // what the first chunk has, if mapped
  AtomicWord rest_claimed_ = 1;           // 0 if somebody may map more of it
  AtomicWord from_ = 0;            // hint: the chunks below it are claimed
  AtomicWord table_failures_ = 0;  // how often something was in its way
  AtomicWord unmap_failures_ = 0;
  AtomicWord limit_met_ = 0;  // see limit_met()
  Bitmap claimed_;
  Bitmap mapped_;
  HugePages* const huge_pages_;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_ARENA_GROWTH_H_
