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
// Interruption: stopped at any point, an operation loses the span in hand.
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

// The bytes of a span that the program may use. Plain: all of them.
size_t Bytes(const Run* span);

// Puts a freed span into the quarantine. Returns the span that leaves for it,
// or null if none does. Plain: returns `span`.
Run* Exchange(Run* span);

// Returns all spans in the quarantine to their arenas. Plain: nothing is done.
void EndQuarantine();

}  // namespace aomalloc::hardened_spans

#endif  // AOMALLOC_CORE_HARDENED_SPANS_H_
