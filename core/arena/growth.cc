#include "core/arena/growth.h"

#include "core/base/os.h"
#include "core/base/os_memory.h"

namespace aomalloc {
namespace {

// Somebody's mapping is in the way, again and again: then the system may have
// memory elsewhere.
constexpr int kMostTries = 16;

// Then it is taken for certain that the table cannot grow.
constexpr AO_t kMostFailures = 1000;

// The first page that begins at a descriptor or behind it: on some machines a
// page is larger than what the table is aligned to.
char* PageFrom(Run* descriptor) {
  const uintptr_t mask = os::PageSize() - 1;
  return reinterpret_cast<char*>(
      (reinterpret_cast<uintptr_t>(descriptor) + mask) & ~mask);
}

}  // namespace

// Sees to it that the units below `end` have descriptors.
bool Growth::ExtendTable(size_t end) {
  for (size_t units; end > (units = this->units());) {
    if (units == most_ || LoadRelaxed(&table_failures_) > kMostFailures) {
      return false;
    }
    char* start = PageFrom(table_ + units);
    char* behind = PageFrom(table_ + units + kTableUnits);
    const os::Filled filled =
        os::FillHole(start, static_cast<size_t>(behind - start));
    if (filled != os::Filled::kDone && units == this->units()) {
      // There may be something in the way. Or another thread was faster, and is
      // about to publish what it has mapped.
      if (filled == os::Filled::kOccupied) AddRelaxed(&table_failures_, 1);
      return false;
    }
    if (filled == os::Filled::kDone) {
      os::Name(start, static_cast<size_t>(behind - start),
               os::kDescriptorsName);
    }
    // Release: pairs with the acquire in units(). The descriptors are there.
    CasRelease(&units_, units, units + kTableUnits);
    StoreRelaxed(&table_failures_, 0);
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

Growth::Piece Growth::Map(size_t least, size_t wanted, size_t lowest,
                          bool huge) {
  const size_t least_chunks = ChunksFor(least);
  size_t chunks = ChunksFor(wanted < least ? least : wanted);
  size_t stride = 1;
  for (int i = 0; i < kMostTries; ++i) {
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
    const os::Filled filled = Fill(piece, huge);
    if (filled == os::Filled::kDone) {
      RaiseTo(&from_, claimed_.NextClear(LoadRelaxed(&from_), first));
      return piece;
    }
    LetGo(piece);
    if (chunks == least_chunks) {
      if (filled == os::Filled::kRefused) break;
      // Something is in the way. It may be large, so pass by more each time.
      PassBy(first, stride);
      stride *= 2;
    }
    chunks = least_chunks;
  }
  return Piece();
}

Growth::Piece Growth::MapAt(size_t start, size_t least, size_t wanted) {
  const bool huge = start != 0 && (huge_pages_->IsHuge(start - 1) ||
                                   huge_pages_->IsBroken(start - 1));
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

os::Filled Growth::Fill(const Piece& piece, bool huge) {
  char* start = base_ + (piece.start << unit_shift_);
  const size_t bytes = (piece.end - piece.start) << unit_shift_;
  // The memory first: where that is refused, no table is needed for it.
  const os::Filled filled = os::FillHole(start, bytes);
  if (filled != os::Filled::kDone) return filled;
  if (!ExtendTable(piece.end)) {
    os::Unmap(start, bytes);
    return os::Filled::kRefused;
  }
  os::Name(start, bytes, os::kHeapName);
  huge_pages_->Ask(piece.start, piece.end, huge);
  return filled;
}

// Release: its units are marked, as far as they are in use already.
void Growth::Show(const Piece& piece) {
  AddRelaxed(&mapped_units_, piece.end - piece.start);
  mapped_.Set(piece.start / kChunkUnits,
              (piece.end - piece.start) / kChunkUnits);
}

void Growth::Publish(const Piece& piece) {
  Show(piece);
  // Ahead of need, as threads that need it at once may be in one another's way.
  ExtendTable(piece.end + kTableUnits / 2);
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
