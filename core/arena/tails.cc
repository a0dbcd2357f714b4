#include "core/arena/tails.h"

#include "core/arena/purge.h"
#include "core/base/check.h"
#include "core/base/hardening.h"
#include "core/base/os.h"
#include "core/base/os_memory.h"

namespace aomalloc::tails {
namespace {

// A span lived long if it was freed after so many milliseconds. Where each of a
// thousand lives so long, one is replaced in 0.1 ms. Beside that, a purge and
// the page faults that follow it take 5 us.
constexpr uint32_t kLongMs = 100;
// How many purges may be made, at most, before it is known how long their spans
// live; and how many more for each one that lived long.
constexpr AO_t kMostCredit = 256;
constexpr AO_t kGain = 3;
// Without credit, so many calls of Pays read the clock once.
constexpr AO_t kCallsAClock = 16;

// Of all tails of kLeastPages or more.
AtomicWord dirty_pages;
AtomicWord credit = kMostCredit;  // purges that may be made
AtomicWord calls;                 // of Pays, without credit
AtomicWord credit_ms;             // when there was last some for time; or 0
AtomicWord most_units;            // in use when there was last some for growth

size_t WholePages(size_t size) { return RoundUp(size, kPage); }

void Count(size_t pages) {
  if (pages >= kLeastPages) AddRelaxed(&dirty_pages, pages);
}

void Uncount(const Run* span) {
  const size_t pages = DirtyPages(span);
  if (pages >= kLeastPages) AddRelaxed(&dirty_pages, ~pages + 1);
}

// True if the tails of all spans are more than one part in `fraction` of what
// is in use, and a little, with `pages` more.
bool AreMore(size_t fraction, size_t pages) {
  const Arena* arena = memory::Primary();
  const size_t used =
      arena == nullptr ? 0 : arena->used_units() * arena->unit_bytes();
  return DirtyBytes() + pages * kPage > kIdleBytes + used / fraction;
}

uint32_t Now() { return static_cast<uint32_t>(os::CoarseMilliseconds()) | 1; }

void AddCredit(AO_t more) {
  const AO_t sum = LoadRelaxed(&credit) + more;
  StoreRelaxed(&credit, sum < kMostCredit ? sum : kMostCredit);
}

// A heap that is larger than ever takes page faults anyway, and grows by blocks
// that stay.
void AddCreditIfGrown(const Arena* arena) {
  const size_t most = arena->peak_used_units();
  if (most <= LoadRelaxed(&most_units)) return;
  StoreRelaxed(&most_units, most);
  AddCredit(kGain);
}

// True if a purge pays, as far as one can know.
bool Pays() {
  const AO_t left = LoadRelaxed(&credit);
  if (left != 0) {
    StoreRelaxed(&credit, left - 1);
    return true;
  }
  const AO_t call = LoadRelaxed(&calls) + 1;
  StoreRelaxed(&calls, call);
  if (call % kCallsAClock == 0) {
    const AO_t now = os::CoarseMilliseconds();
    const AO_t then = LoadRelaxed(&credit_ms);
    if (then != 0) AddCredit(now - then);
    StoreRelaxed(&credit_ms, now);
  }
  return false;
}

// How much of a span, from its base on, may be resident.
size_t Touched(const Run* span) {
  return Bytes(span) + DirtyPages(span) * kPage;
}

// Commits that a span has `bytes`, and that pages of its last unit up to
// `touched` may be resident.
void Set(Run* span, size_t bytes, size_t touched) {
  const size_t pages = touched > bytes ? (touched - bytes) / kPage : 0;
  AOMALLOC_CHECK(pages < kPage);
  Commit(&span->span_bytes, bytes + pages);
}

// Purges the tail of a span if that is worth it. `fraction`: how much all tails
// are then, at least, if that takes no credit. False if it is as it was.
bool Purge(Run* span, size_t fraction) {
  const size_t bytes = Bytes(span);
  const size_t end = Touched(span);
  const size_t start = RoundUp(bytes, os::PageSize());
  const size_t pages = DirtyPages(span);
  if (start >= end || !AreMore(kIdleFraction, pages) || purge::IsTold() ||
      memory::IsHuge(span) || (!AreMore(fraction, pages) && !Pays())) {
    return false;
  }
  if (!memory::PurgePart(span->base + start, end - start)) return false;
  Set(span, bytes, bytes);
  span->purged_ms = Now();
  return true;
}

// Purges the tail of a span whose tail does not count, or counts it. (No tails
// are as much as all that is in use: then a purge always takes credit.)
void Settle(Run* span, size_t fraction = 1) {
  const size_t pages = DirtyPages(span);
  if (pages >= kLeastPages && !Purge(span, fraction)) Count(pages);
}

// Of a run that was taken from an arena: how much of it may be resident, if the
// last unit was not used since. At least `bytes`, which end in that unit.
size_t TouchedAtFirst(const Arena* arena, const Run* span, size_t bytes) {
  const auto last =
      static_cast<size_t>(span - arena->table()) + span->units - 1;
  return arena->IsDirty(last) ? span->units * arena->unit_bytes() : bytes;
}

}  // namespace

void SetUp(const memory::Grant& grant, size_t size) {
  if constexpr (hardening::kOn) return;
  const size_t bytes = WholePages(size);
  grant.run->purged_ms = 0;
  AddCreditIfGrown(grant.arena);
  Set(grant.run, bytes, TouchedAtFirst(grant.arena, grant.run, bytes));
  Settle(grant.run);
}

void SetUpAnew(Run* span, size_t unit_bytes, size_t size) {
  const size_t all = span->units * unit_bytes;
  size_t touched = all;
  if (span->span_bytes != 0) touched = Touched(span);
  Uncount(span);
  span->purged_ms = 0;
  Set(span, WholePages(size), touched < all ? touched : all);
  Settle(span);
}

void SetUpWhole(Run* span) {
  span->purged_ms = 0;
  Set(span, memory::BytesOf(span), 0);
}

void Grow(Run* span, size_t unit_bytes, size_t size) {
  const size_t bytes = WholePages(size);
  size_t touched = Touched(span);
  // It has more units than before, unless both ends are in the last one.
  if (touched <= (span->units - 1) * unit_bytes) {
    touched = TouchedAtFirst(memory::ArenaOfRun(span), span, bytes);
  }
  // There are more units than it needs if an operation was abandoned that was
  // to give them back.
  const size_t end = RoundUp(bytes, unit_bytes);
  Uncount(span);
  Set(span, bytes, touched < end ? touched : end);
  Count(DirtyPages(span));
}

void Shrink(Run* span, size_t size) {
  const size_t bytes = WholePages(size);
  if (bytes == Bytes(span)) {
    // An operation may have been abandoned that was to give units back.
    memory::Shrink(span, size);
    return;
  }
  const size_t end = RoundUp(bytes, memory::UnitBytes(span));
  const size_t touched = Touched(span);
  Uncount(span);
  Set(span, bytes, touched < end ? touched : end);
  memory::Shrink(span, size);
  // Most that are made shorter stay so.
  constexpr size_t kFraction = 8;
  Settle(span, kFraction);
}

void OnFreeSlow(const Run* span) {
  if (Now() - span->purged_ms >= kLongMs) AddCredit(kGain);
}

void ForgetSlow(Run* run) {
  Uncount(run);
  Commit(&run->span_bytes, Bytes(run));
}

size_t DirtyBytes() {
  const AO_t pages = LoadRelaxed(&dirty_pages);
  if (static_cast<intptr_t>(pages) >= 0) return pages * kPage;
  // Operations were abandoned. It begins anew, lest it stay there.
  CasRelaxed(&dirty_pages, pages, 0);
  return 0;
}

}  // namespace aomalloc::tails
