#include "core/arena/huge_pages.h"

#include "core/arena/ceiling.h"
#include "core/base/hardening.h"
#include "core/base/os_memory.h"

namespace aomalloc {
namespace {

AtomicWord choice;  // a Choice

// An arena that has less in use, 6 MiB, stays on small pages.
constexpr size_t kLeastUnits = 96;

// Where small and huge pages meet, the kernel has two mappings, of which a
// process may have some 65,530.
constexpr size_t kMostMappings = 8192;

// The hardened build has its guards in what would be huge pages. Where pages
// are larger than 4 KiB, huge ones are larger than a chunk.
bool MayAsk() { return !hardening::kOn && os::PageSize() == 4096; }

bool Is(HugePages::Choice wanted) {
  return LoadRelaxed(&choice) == static_cast<AO_t>(wanted);
}

}  // namespace

void HugePages::Choose(Choice wanted) {
  StoreRelaxed(&choice, static_cast<AO_t>(wanted));
}

bool HugePages::AreWorthwhile(size_t count, size_t used, size_t dense) {
  return used >= kLeastUnits && dense >= kUnits && count <= used &&
         Is(Choice::kAuto) && MayAsk() && !ceiling::IsSet();
}

bool HugePages::AreTooGoodFor(size_t unit) const {
  return Is(Choice::kAuto) && IsHuge(unit);
}

bool HugePages::MayBeSparse(size_t start, size_t end) const {
  if (!Is(Choice::kAuto)) return true;
  const size_t behind = (end + kUnits - 1) / kUnits;
  return asked_.NextSet(start / kUnits, behind) == behind;
}

void HugePages::AskForPiece(void* start, size_t bytes) {
  if (!MayAsk()) return;
  if (Is(Choice::kNever)) os::KeepPagesSmall(start, bytes);
  if (Is(Choice::kAlways)) os::UseHugePages(start, bytes);
}

void HugePages::Ask(size_t start, size_t end, bool huge) {
  if (!MayAsk()) return;
  const size_t first = start / kUnits;
  const size_t pages = (end - start) / kUnits;
  // The bits may still be those of chunks that were unmapped.
  asked_.Clear(first, pages);
  huge_.Clear(first, pages);
  if (Is(Choice::kNever)) {
    asked_.Set(first, pages);
    os::KeepPagesSmall(PageOf(start), pages * kBytes);
  } else if (huge || Is(Choice::kAlways)) {
    if (!os::UseHugePages(PageOf(start), pages * kBytes)) return;
    asked_.Set(first, pages);
    huge_.Set(first, pages);
  }
}

void HugePages::AskAgain(size_t start, size_t count) const {
  const size_t end = start + count;
  constexpr size_t kUnitBytes = kBytes / kUnits;
  for (size_t unit = start; unit < end;) {
    const bool huge = IsHuge(unit);
    const bool broken = IsBroken(unit);
    size_t next = unit;
    do {
      next = NextPage(next);
    } while (next < end && IsHuge(next) == huge && IsBroken(next) == broken);
    char* from = base_ + unit * kUnitBytes;
    const size_t bytes = ((next < end ? next : end) - unit) * kUnitBytes;
    if (huge) os::UseHugePages(from, bytes);
    if (broken) os::KeepPagesSmall(from, bytes);
    unit = next;
  }
}

// True if the kernel has so many mappings for the pages of [0, end) already
// that no more should be made. An arena of 256 GiB has 2,048 words of bits:
// that is less than the system call takes which follows.
bool HugePages::HasManyMappings(size_t end) const {
  size_t borders = 0;
  AO_t carry = 0;
  for (size_t word = 0; word < Bitmap::WordsUpTo(end / kUnits); ++word) {
    const AO_t bits = LoadRelaxed(huge_.word(word));
    borders += Bitmap::PopCount(bits ^ (bits << 1 | carry));
    carry = bits >> (Bitmap::kWordBits - 1);
  }
  return borders > kMostMappings;
}

void HugePages::Break(size_t unit, size_t end) {
  const bool many = HasManyMappings(end);
  huge_.Clear(unit / kUnits, 1);
  if (!many) os::KeepPagesSmall(PageOf(unit), kBytes);
}

void HugePages::Mend(size_t unit) {
  if (Is(Choice::kNever)) return;
  if (os::UseHugePages(PageOf(unit), kBytes)) huge_.Set(unit / kUnits, 1);
}

size_t HugePages::Count(size_t end) const {
  size_t count = 0;
  for (size_t word = 0; word < Bitmap::WordsUpTo(end / kUnits); ++word) {
    count += Bitmap::PopCount(LoadRelaxed(huge_.word(word)) &
                              Bitmap::MaskIn(word, 0, end / kUnits));
  }
  return count;
}

}  // namespace aomalloc
