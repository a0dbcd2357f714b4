// The hardened build: guards behind spans, and a quarantine for freed spans.
//
// In a live span, a guard covers the whole pages behind the requested size.
// When the span is freed, a guard covers all of it, until it leaves the
// quarantine. In the plain build, each hook does what its comment says after
// "Plain:". The static heap has neither guards nor quarantine.
//
// Who touches what: an operation owns the span in hand. Any thread and handler
// may exchange spans of the quarantine.
//
// Commit: a span enters or leaves the quarantine by a compare-and-swap on its
// place there.
//
// Interruption: stopped at any point, an operation loses the span in hand. If
// it resizes the span, no page is lost, but a part of the guard may be missing.
#ifndef AOMALLOC_CORE_HARDENED_SPANS_H_
#define AOMALLOC_CORE_HARDENED_SPANS_H_

#include "core/arena/memory.h"
#include "core/arena/run.h"
#include "core/base/hardening.h"

namespace aomalloc::hardened_spans {

// True if spans change their size in place, and heaps keep free ones for their
// next spans.
constexpr bool kAreReused = !hardening::kOn;

// Sets up a new span for a request of `size` bytes. Plain: nothing is done.
void SetUp(Run* span, size_t size);

// Makes a live span one of `size` bytes where it is, and moves the guard behind
// it. What it has no more is given back to the system. False if it has no room,
// or if the system refuses; then it is as it was. Plain: not to be called.
bool Resize(Run* span, size_t size);

// How much to ask for where a span of `size` bytes, at most PTRDIFF_MAX, moves
// to because it grows. It is then resized to `size`. So it moves, with all its
// contents, only when it has grown by a quarter. What it does not use yet takes
// addresses only, but counts for a ceiling: then there is no such room.
constexpr size_t WithRoom(size_t size) { return size + size / 4; }

// Puts a freed span into the quarantine. Returns the span that leaves for it,
// or null if none does. Plain: returns `span`.
Run* Exchange(Run* span);

// Returns all spans in the quarantine to their arenas. Plain: nothing is done.
void EndQuarantine();

}  // namespace aomalloc::hardened_spans

#endif  // AOMALLOC_CORE_HARDENED_SPANS_H_
