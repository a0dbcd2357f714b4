#include "core/thread/visits.h"

#include "core/thread/registry.h"
#include "core/thread/thread.h"

namespace aomalloc::visits {
namespace {

using thread::Next;
using thread::Registry;
using thread::Visit;

// Where the next thread begins that calls DrainNext: Heap*, or 0. On a cache
// line of its own, since what is beside it would be read all the time.
struct alignas(64) {
  AtomicWord word = 0;
} cursor;

// The heap that this thread looks at next; null before the first one.
__thread Heap* next __attribute__((tls_model("initial-exec"))) = nullptr;

// What waits for a thread that sleeps; and what is worth a barrier to who has
// asked for all.
constexpr size_t kAsleep = size_t{1} << 20;
constexpr size_t kWorthwhile = size_t{16} << 10;

bool IsHeld(const Heap* heap) { return LoadRelaxed(&heap->holder) != 0; }

// A heap that nobody holds is trimmed, if `trims`. Of a sleeping thread's heap
// only what was freed goes: the thread will want the slabs at hand again.
void Drain(Heap* heap, const ClaimFrame& frame, Heap* from, bool trims) {
  if (IsHeld(heap) && !heap->IsVisitDue(kAsleep)) return;
  const Visit visit(heap, frame, from);
  if (!visit) return;
  if (visit.is_remote() || !trims) {
    heap->Drain();
    if (visit.is_remote()) heap->runs(/*mapped=*/true).GiveUp();
  } else {
    heap->Trim();
  }
}

// Calls `act` with `from`, which the caller has claimed, and with all heaps
// that can be visited from there: of those that other threads hold, only where
// `is_due` says so, as each takes a barrier.
template <typename IsDue, typename Act>
void ForEach(Heap* from, IsDue is_due, Act act) {
  const ClaimFrame frame;
  if (from != nullptr) act(from);
  for (Heap* heap = Registry(); heap != nullptr; heap = Next(heap)) {
    if (heap == from) continue;
    const bool may_be_remote = from != nullptr && is_due(heap);
    const Visit visit(heap, frame, may_be_remote ? from : nullptr);
    if (visit) act(heap);
  }
}

}  // namespace

void Relieve(Heap* heap, const ClaimFrame& frame, Heap* from) {
  Drain(heap, frame, from, /*trims=*/true);
}

void RelieveWithoutHeap(Heap* heap) {
  if (!heap->IsCrowded() || thread::current != nullptr) return;
  const ClaimFrame frame;
  Heap* from = thread::ClaimHeap(frame);
  if (from == nullptr) return;
  if (from == heap) {
    from->Drain();
  } else {
    Relieve(heap, frame, from);
  }
  thread::Unclaim(from, frame);
}

void DrainNext(const ClaimFrame& frame, Heap* from) {
  // Each thread goes round the registry by itself: if all moved one cursor at
  // each step, its cache line would never rest. Where they begin they do share,
  // so that threads which take a few steps and end come round.
  Heap* heap = next;
  if (heap == nullptr) {
    // Acquire, with the release below: the heap is there for us as it was for
    // the thread that found it in the registry.
    heap = reinterpret_cast<Heap*>(LoadAcquire(&cursor.word));
    if (heap == nullptr) heap = Registry();
    StoreRelease(&cursor.word, reinterpret_cast<AO_t>(Next(heap)));
  }
  next = Next(heap);
  if (next == nullptr) next = Registry();
  if (heap == from || !heap->HasRemote()) return;
  Drain(heap, frame, from, /*trims=*/false);
}

void TrimAll() {
  const ClaimFrame own;
  Heap* from = thread::ClaimHeap(own);
  // In two rounds: what one heap sends home, another one finds there.
  ForEach(
      from, [](Heap* heap) { return heap->foreign().Bytes() >= kWorthwhile; },
      [](Heap* heap) { heap->SendForeign(); });
  ForEach(
      from,
      [](Heap* heap) {
        return heap->WaitingBytes() >= kWorthwhile || heap->KeepsRuns();
      },
      [](Heap* heap) { heap->Trim(); });
  if (from != nullptr) thread::Unclaim(from, own);
}

bool PurgeAll() {
  const ClaimFrame own;
  Heap* from = thread::ClaimHeap(own);
  bool purged = false;
  ForEach(
      from, [](Heap*) { return false; },
      [&](Heap* heap) { purged |= heap->PurgePages(); });
  if (from != nullptr) thread::Unclaim(from, own);
  return purged;
}

void RaidAll() {
  const ClaimFrame frame;
  Heap* heap = thread::ClaimHeap(frame);
  if (heap == nullptr) return;
  for (Heap* victim = Registry(); victim != nullptr; victim = Next(victim)) {
    if (victim != heap && victim->HasRemote()) heap->Raid(victim);
  }
  thread::Unclaim(heap, frame);
}

}  // namespace aomalloc::visits
