#include "core/hardened_spans.h"

#include "core/arena/guards.h"
#include "core/base/os_memory.h"

namespace aomalloc::hardened_spans {
namespace {

constexpr size_t kPlaces = 16;
AtomicWord quarantine[kPlaces];  // Run*
AtomicWord freed;                // spans that were ever freed

// Puts a span in a place, or null. Returns the span that was there, or null.
Run* ExchangeAt(AtomicWord* place, Run* span) {
  AO_t leaving;
  do {
    leaving = LoadRelaxed(place);
    // Full. Release: the operation that takes the span out sees what we did to
    // its pages and its descriptor. Acquire: we see the same of the span that
    // leaves.
  } while (!CasFull(place, leaving, reinterpret_cast<AO_t>(span)));
  return reinterpret_cast<Run*>(leaving);
}

size_t WholePages(size_t size) { return RoundUp(size, os::PageSize()); }

}  // namespace

void SetUp(Run* span, size_t size) {
  if constexpr (hardening::kOn) {
    const size_t bytes = memory::BytesOf(span);
    const size_t used = WholePages(size);
    span->span_bytes = bytes;
    if (!memory::IsMapped(span) || used >= bytes) return;
    span->span_bytes = used;
    guards::Put(span, span->base + used, bytes - used);
  }
}

bool Resize(Run* span, size_t size) {
  const size_t before = span->span_bytes;
  if (!memory::IsMapped(span)) return size <= before;
  const size_t room = memory::BytesOf(span);
  if (size > room) return false;  // rounded up, it might wrap
  const size_t used = WholePages(size);
  if (used > room) return false;
  if (used > before && !guards::Lift(span->base + before, used - before)) {
    return false;
  }
  Commit(&span->span_bytes, used);
  if (used < before) {
    os::Purge(span->base + used, before - used);
    guards::Put(span, span->base + used, before - used);
  }
  return true;
}

Run* Exchange(Run* span) {
  if (!hardening::kOn || !memory::IsMapped(span)) return span;
  // The span's memory goes back to the system, unless the system refuses. The
  // guard keeps everybody from its contents, unless the system refuses that.
  os::Purge(span->base, span->span_bytes);
  guards::Put(span, span->base, span->span_bytes);
  span->kind = RunKind::kFree;
  AddRelaxed(&freed, 1);
  return ExchangeAt(&quarantine[LoadRelaxed(&freed) % kPlaces], span);
}

void EndQuarantine() {
  if constexpr (!hardening::kOn) return;
  for (AtomicWord& place : quarantine) {
    Run* span = ExchangeAt(&place, nullptr);
    if (span != nullptr) memory::Return(span, /*dirty=*/true);
  }
}

}  // namespace aomalloc::hardened_spans
