// How much of a span may be used, and what is done with the rest.
//
// A span's run is whole units, and its request mostly ends within the last one.
// The program may use the request, rounded up to whole pages; the rest is the
// span's tail. Nobody writes there. So pages of the tail are resident only if
// they were before: then the tail is dirty, and memory is held for nothing. It
// is purged when the span is allocated, or made shorter, if
//
//   - it has kLeastPages, which are worth a system call;
//   - the dirty tails of all spans are more than may stay: kIdleBytes, and one
//     part in kIdleFraction of what is in use;
//   - such purges pay. The next span there may take a page fault for each page
//     that was purged. So each purge takes some credit, and a span that lived
//     for a tenth of a second gives back more than its own. So does one with
//     which more is in use than ever was: a heap that grows takes page faults
//     anyway. A program whose spans live shorter has what time gives: one purge
//     in a millisecond. A span that was made shorter needs no credit if tails
//     are an eighth of what is in use.
//
// Only the operation that has the span looks at its tail, so malloc_trim does
// not purge it: the span may grow into it at any time. A tail in a huge page
// stays, and so does each if the user says what may stay (purge::IsTold).
//
// `span_bytes` of the descriptor is both: the bytes that may be used, which are
// whole pages, plus the number of pages of kPage behind them that may be
// resident. Of a run that a heap keeps (run_cache.h) it says the same of its
// last span, whose tail still counts: so a span of the same size changes no
// word that other threads use. It is 0 if the run was a slab.
//
// Who touches what: the operation that has the span writes its word. Others
// read it for reports. All other words are hints, and nothing depends on their
// order.
//
// Commit: a span grows and shrinks by the store to its word. When it grows, the
// store comes after the units are taken, and when it shrinks, before they are
// given back. So no word ever promises what the span does not have.
//
// Interruption: an operation that stops anywhere leaves the sum of the dirty
// tails wrong by its own, and loses nothing.
#ifndef AOMALLOC_CORE_ARENA_TAILS_H_
#define AOMALLOC_CORE_ARENA_TAILS_H_

#include "core/arena/memory.h"
#include "core/arena/run.h"
#include "core/base/hardening.h"

namespace aomalloc::tails {

// The least that a page of the system has.
constexpr size_t kPage = 4096;
constexpr size_t kLeastPages = 4;
constexpr size_t kIdleBytes = size_t{512} << 10;
constexpr size_t kIdleFraction = 64;

// The bytes of a span that the program may use.
inline size_t Bytes(const Run* span) {
  return Glance(span->span_bytes) & ~(kPage - 1);
}

// The number of pages behind these that may be resident.
inline size_t DirtyPages(const Run* span) { return span->span_bytes % kPage; }

// What SetUpKept, OnFree and Forget do if it is more than to look.
void SetUpAnew(Run* span, size_t unit_bytes, size_t size);
void OnFreeSlow(const Run* span);
void ForgetSlow(Run* run);

// Sets up a span for a request of `size` bytes: of a run that was just taken;
// and of one that a heap has kept, with units of `unit_bytes`. SetUpWhole sets
// up one all of which may be used. In the hardened build, where tails are
// guarded and no span's run is kept (hardened_spans.h), only SetUpWhole does
// anything.
void SetUp(const memory::Grant& grant, size_t size);
void SetUpWhole(Run* span);
inline void SetUpKept(Run* span, size_t unit_bytes, size_t size) {
  const size_t word = span->span_bytes;
  // Mostly it is of the same size as before.
  if (word / kPage != (size + kPage - 1) / kPage || span->purged_ms != 0) {
    SetUpAnew(span, unit_bytes, size);
  }
}

// To be called when a span's units, of `unit_bytes`, suffice for `size` bytes,
// which is more than it had.
void Grow(Run* span, size_t unit_bytes, size_t size);

// Makes a span one of `size` bytes, fewer than it had, and gives back what it
// does not need.
void Shrink(Run* span, size_t size);

// To be called when a span is freed, before its run is kept or returned.
inline void OnFree(const Run* span) {
  if constexpr (hardening::kOn) return;
  if (span->purged_ms != 0) OnFreeSlow(span);
}

// To be called when a run of a freed span is returned, or is to be no span.
inline void Forget(Run* run) {
  if constexpr (hardening::kOn) return;
  if (DirtyPages(run) >= kLeastPages) ForgetSlow(run);
}

// The bytes of all dirty tails. A hint.
size_t DirtyBytes();

}  // namespace aomalloc::tails

#endif  // AOMALLOC_CORE_ARENA_TAILS_H_
