#include "core/arena/growth.h"

#include "core/base/os.h"
#include "core/base/os_memory.h"
#include "core/base/probe.h"

namespace aomalloc {
namespace {

// Somebody's mapping is in the way, again and again: then the system may have
// memory elsewhere.
constexpr int kMostTries = 16;

// A limit that was met is another one if an arena has more by one part in so
// many.
constexpr size_t kLimitFraction = 8;

// Then it is taken for certain that the table cannot grow.
constexpr AO_t kMostFailures = 1000;

// The first page that begins there or behind: on some machines a page is larger
// than what the table is aligned to.
uintptr_t PageFrom(uintptr_t address) {
  return RoundUp(address, os::PageSize());
}

}  // namespace

Growth::Range Growth::Part(int part, size_t units, size_t more) const {
  const auto first = part == 0 ? reinterpret_cast<uintptr_t>(table_)
                               : reinterpret_cast<uintptr_t>(bits_[part - 1]);
  if (first == 0) return {nullptr, 0};
  // For the units of a chunk.
  const size_t bytes = part == 0 ? kChunkUnits * sizeof(Run) : sizeof(AO_t);
  const uintptr_t end = PageFrom(first + (units + more) / kChunkUnits * bytes);
  // The first page may begin below.
  const uintptr_t start = units == 0
                              ? PageFrom(first + 1 - os::PageSize())
                              : PageFrom(first + units / kChunkUnits * bytes);
  return {reinterpret_cast<char*>(start), end - start};
}

// Maps what `more` units need. Who maps the first part is alone with the
// others, until that is unmapped again.
os::Filled Growth::FillParts(size_t units, size_t more) {
  for (int i = 0; i < kParts; ++i) {
    const Range part = Part(i, units, more);
    if (part.bytes == 0) continue;
    const os::Filled filled = os::FillHole(part.start, part.bytes);
    if (filled != os::Filled::kDone) {
      UnmapParts(i, units, more);
      return filled;
    }
  }
  return os::Filled::kDone;
}

void Growth::NameParts(size_t units, size_t more) {
  for (int i = 0; i < kParts; ++i) {
    const Range part = Part(i, units, more);
    if (part.bytes == 0) continue;
    os::Name(part.start, part.bytes, os::kDescriptorsName);
    // The bitmaps are too small for huge pages.
    if (i == 0) os::KeepPagesSmall(part.start, part.bytes);
  }
}

// The first `count` parts.
void Growth::UnmapParts(int count, size_t units, size_t more) {
  while (count-- > 0) {
    const Range part = Part(count, units, more);
    if (part.bytes != 0) os::Unmap(part.start, part.bytes);
  }
}

os::Filled Growth::Begin(AtomicWord* used, AtomicWord* dirty) {
  bits_[0] = used;
  bits_[1] = dirty;
  const os::Filled filled = FillParts(0, kTableUnits);
  if (filled == os::Filled::kDone) NameParts(0, kTableUnits);
  return filled;
}

void Growth::End() {
  UnmapParts(kParts, 0, kTableUnits);
  if (mapped_units() != 0) os::Unmap(base_, kFirstUnits << unit_shift_);
}

// Sees to it that the units below `end` have descriptors.
bool Growth::ExtendTable(size_t end) {
  for (size_t units; end > (units = this->units());) {
    if (units == most_ || LoadRelaxed(&table_failures_) > kMostFailures) {
      return false;
    }
    const size_t more = TableStep(units);
    const os::Filled filled = FillParts(units, more);
    if (filled != os::Filled::kDone && units == this->units()) {
      // There may be something in the way. Or another thread was faster, and is
      // about to publish what it has mapped.
      if (filled == os::Filled::kOccupied) AddRelaxed(&table_failures_, 1);
      return false;
    }
    // Release: pairs with the acquire in units(). The descriptors are there.
    // Nothing else comes before this, as others cannot grow beyond meanwhile.
    CasRelease(&units_, units, units + more);
    StoreRelaxed(&table_failures_, 0);
    if (filled == os::Filled::kDone) NameParts(units, more);
  }
  return true;
}

// The lowest `count` chunks from `from` on that are not claimed, as far as one
// look can tell.
size_t Growth::FindUnclaimed(size_t from, size_t count) const {
  const size_t end = most_ / kChunkUnits;
  while (true) {
    const size_t start = claimed_.NextClear(from, end);
    if (start >= end || count > end - start) return kNone;
    const size_t stop = claimed_.NextSet(start, start + count);
    if (stop == start + count) return start;
    from = stop + 1;
  }
}

bool Growth::HasRoom(size_t units) const {
  return LoadRelaxed(&table_failures_) <= kMostFailures &&
         FindUnclaimed(0, ChunksFor(units)) != kNone;
}

// Claims chunks, one of which was found to be in use by somebody else, for
// ever.
void Growth::PassBy(size_t first, size_t count) {
  const size_t end = most_ / kChunkUnits;
  for (size_t i = 0; i < count && first + i < end; ++i) {
    claimed_.Mark(first + i, 1);
  }
}

// Gives up chunks that are not mapped.
void Growth::LetGo(const Piece& piece) {
  const size_t first = piece.start / kChunkUnits;
  claimed_.Clear(first, (piece.end - piece.start) / kChunkUnits);
  if (first < LoadRelaxed(&from_)) StoreRelaxed(&from_, first);
}

bool Growth::MapFirst() {
  const size_t bytes = kFirstUnits << unit_shift_;
  if (os::FillHole(base_, bytes) != os::Filled::kDone) return false;
  os::Name(base_, bytes, os::kHeapName);
  StoreRelaxed(&first_units_, kFirstUnits);
  StoreRelaxed(&rest_claimed_, 0);
  StoreRelaxed(&mapped_units_, kFirstUnits);
  claimed_.Mark(0, 1);
  mapped_.Set(0, 1);
  return true;
}

Growth::Piece Growth::MapMoreOfFirst() {
  // Acquire: pairs with the release below. What was mapped last is counted.
  if (LoadRelaxed(&rest_claimed_) != 0 || !CasAcquire(&rest_claimed_, 0, 1)) {
    return Piece();
  }
  const size_t start = LoadRelaxed(&first_units_);
  const Piece piece = {start, start + kFirstUnits};
  char* address = base_ + (start << unit_shift_);
  const size_t bytes = kFirstUnits << unit_shift_;
  const os::Filled filled = os::FillHole(address, bytes);
  if (filled == os::Filled::kDone) {
    os::Name(address, bytes, os::kHeapName);
    if (piece.end % HugePages::kUnits == 0) {
      huge_pages_->Ask(piece.end - HugePages::kUnits, piece.end, false);
    }
    AddRelaxed(&mapped_units_, kFirstUnits);
    // Release: pairs with the acquire in IsUnitMapped.
    StoreRelease(&first_units_, piece.end);
  }
  // What is in the way stays there.
  if (filled != os::Filled::kOccupied && piece.end < kChunkUnits) {
    StoreRelease(&rest_claimed_, 0);
  }
  return filled == os::Filled::kDone ? piece : Piece();
}

Growth::Piece Growth::Map(size_t least, size_t wanted, size_t lowest,
                          bool huge) {
  const size_t least_chunks = ChunksFor(least);
  size_t chunks = ChunksFor(wanted < least ? least : wanted);
  size_t stride = 1;
  for (int refusals = 0; refusals < kMostTries;) {
    const size_t hint = LoadRelaxed(&from_);
    const size_t from = lowest / kChunkUnits;
    size_t first = FindUnclaimed(hint > from ? hint : from, chunks);
    if (first == kNone) first = FindUnclaimed(0, chunks);
    if (first == kNone) {
      if (chunks == least_chunks) break;
      chunks = least_chunks;
      continue;
    }
    if (!claimed_.Mark(first, chunks)) continue;  // another thread was faster
    const Piece piece = {first * kChunkUnits, (first + chunks) * kChunkUnits};
    const size_t units = this->units();
    const os::Filled filled = Fill(piece, huge);
    if (filled == os::Filled::kDone) {
      RaiseTo(&from_, claimed_.NextClear(LoadRelaxed(&from_), first));
      return piece;
    }
    LetGo(piece);
    ++refusals;
    if (chunks == least_chunks) {
      if (filled == os::Filled::kOccupied) {
        // It may be large, so pass by more each time.
        PassBy(first, stride);
        stride *= 2;
      } else if (units == this->units()) {
        break;
      }  // else another thread, which was extending the table, is done
    }
    chunks = least_chunks;
  }
  return Piece();
}

Growth::Piece Growth::MapAt(size_t start, size_t least, size_t wanted,
                            bool huge) {
  huge |= start != 0 &&
          (huge_pages_->IsHuge(start - 1) || huge_pages_->IsBroken(start - 1));
  const size_t first = start / kChunkUnits;
  const size_t least_chunks = ChunksFor(least);
  size_t chunks = ChunksFor(wanted < least ? least : wanted);
  while (true) {
    const Piece piece = {start, start + chunks * kChunkUnits};
    if (piece.end <= most_ && claimed_.Mark(first, chunks)) {
      if (Fill(piece, huge) == os::Filled::kDone) return piece;
      LetGo(piece);
    }
    if (chunks == least_chunks) return Piece();
    chunks = least_chunks;
  }
}

// A request that is far too large says nothing of what others may have.
void Growth::NoteRefusal(size_t units) {
  const size_t mapped = mapped_units();
  if (units <= 2 * mapped + kChunkUnits) {
    StoreRelaxed(&limit_met_, mapped + units);
  }
}

os::Filled Growth::Fill(const Piece& piece, bool huge) {
  char* start = base_ + (piece.start << unit_shift_);
  const size_t bytes = (piece.end - piece.start) << unit_shift_;
  // The memory first: where that is refused, no table is needed for it.
  const os::Filled filled = os::FillHole(start, bytes);
  if (filled == os::Filled::kRefused) NoteRefusal(piece.end - piece.start);
  if (filled != os::Filled::kDone) return filled;
  if (!ExtendTable(piece.end)) {
    os::Unmap(start, bytes);
    return os::Filled::kRefused;
  }
  os::Name(start, bytes, os::kHeapName);
  huge_pages_->Ask(piece.start, piece.end, huge);
  probe::Grow(start, bytes);
  return filled;
}

// Release: its units are marked, as far as they are in use already.
void Growth::Show(const Piece& piece) {
  AddRelaxed(&mapped_units_, piece.end - piece.start);
  mapped_.Set(piece.start / kChunkUnits,
              (piece.end - piece.start) / kChunkUnits);
  // What was refused is granted by now, and more than others may have given
  // back meanwhile: there is another limit, or none.
  const size_t limit = limit_met();
  if (limit != 0 && mapped_units() > limit + limit / kLimitFraction) {
    StoreRelaxed(&limit_met_, 0);
  }
}

void Growth::Publish(const Piece& piece) {
  Show(piece);
  // Ahead of need: while a thread is preempted there, others go on.
  constexpr size_t kLeast = kTableUnits / 2;
  size_t ahead = mapped_units();
  if (ahead < kLeast) ahead = kLeast;
  if (ahead > kLargeTableUnits) ahead = kLargeTableUnits;
  ExtendTable(piece.end + ahead);
}

Growth::Unmapped Growth::Unmap(const Piece& piece) {
  AddRelaxed(&mapped_units_, piece.start - piece.end);
  mapped_.Clear(piece.start / kChunkUnits,
                (piece.end - piece.start) / kChunkUnits);
  char* start = base_ + (piece.start << unit_shift_);
  char* end = base_ + (piece.end << unit_shift_);
  if (os::Unmap(start, static_cast<size_t>(end - start))) {
    StoreRelaxed(&unmap_failures_, 0);
    return Unmapped::kDone;
  }
  AddRelaxed(&unmap_failures_, 1);
  // A filter may have refused, or a process that has as many mappings as it may
  // have. Neither unmaps a part of the piece; but to be sure, look.
  if (!os::MayLook() || !os::IsReadable(start) ||
      !os::IsReadable(end - sizeof(AO_t))) {
    return Unmapped::kUnknown;
  }
  Show(piece);
  return Unmapped::kRefused;
}

}  // namespace aomalloc
