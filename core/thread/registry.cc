#include "core/thread/registry.h"

#include <initializer_list>
#include <new>

#include "core/arena/memory.h"
#include "core/base/os_memory.h"
#include "core/thread/liveness.h"
#include "core/thread/remote_claim.h"

namespace aomalloc::thread {
namespace {

// Heaps for programs with more threads. They are added to the registry one by
// one, so that a walk of the registry passes only those in use. Heaps stay
// where they are for ever: these cut no hole into the static heap. A collector
// such as libgc reads those in the array each time, so the library that is
// preloaded has few there (core/BUILD), and maps others.
#ifndef AOMALLOC_SPARE_HEAPS
#define AOMALLOC_SPARE_HEAPS 60
#endif
constexpr AO_t kSpareHeaps = AOMALLOC_SPARE_HEAPS;
constexpr AO_t kMappedHeaps = 48;
Heap spare_heaps[kSpareHeaps];
AtomicWord mapped_heaps = 0;  // Heap*: so many more; 0 if there are none
AtomicWord spares_used = 0;

size_t CountSpares() {
  return kSpareHeaps + (LoadRelaxed(&mapped_heaps) != 0 ? kMappedHeaps : 0);
}

// How many heaps a search looks at, and for how many it asks the kernel.
constexpr int kMostSeen = 64;
constexpr int kMostAsked = 32;

// Heap* where the next search begins, or 0: for a free heap, for one of a
// vanished thread.
AtomicWord free_cursor = 0;
AtomicWord dead_cursor = 0;

Heap* AsHeap(AO_t word) { return reinterpret_cast<Heap*>(word); }

// The token of nobody in particular, but with a thread's id.
constexpr AO_t NobodyWithIdOf(AO_t token) {
  return AO_t{1} << Holder::kIdBits | Holder::IdOf(token);
}

// To be called when this thread has got a heap with a token that it read
// before. If a handler has recorded the thread's id since, the heap looks like
// that of a vanished thread until it has the new token. False if another thread
// has taken it meanwhile.
bool HasNewToken(Heap* heap, AO_t old) {
  const AO_t now = liveness::token;
  if (now == old || now - Holder::IdOf(now) != old - Holder::IdOf(old)) {
    return true;
  }
  // Full, but relaxed would do: the heap stays ours.
  return CasFull(&heap->holder, old, now) || LoadRelaxed(&heap->holder) == now;
}

enum class Look { kGoOn, kFound, kGiveUp };

// Looks at heaps from the cursor on, and behind the last one at the first ones,
// as long as `visit` says so. Returns the heap that it has found, or null. The
// next search goes on from there.
template <typename Visit>
Heap* Search(AtomicWord* cursor, Visit visit) {
  // Acquire, with the release below: the heap is there for us as it was for the
  // thread that found it in the registry.
  Heap* start = AsHeap(LoadAcquire(cursor));
  if (start == nullptr) start = Registry();
  Heap* heap = start;
  Look look = Look::kGoOn;
  for (int i = 0; i < kMostSeen; ++i) {
    look = visit(heap);
    if (look != Look::kGoOn) break;
    heap = Next(heap);
    if (heap == nullptr) heap = Registry();
    if (heap == start) break;
  }
  StoreRelease(cursor, reinterpret_cast<AO_t>(heap));
  return look == Look::kFound ? heap : nullptr;
}

// Puts heaps, linked from `first` to `last`, on the registry. The thread that
// has this token holds the first one.
void Register(Heap* first, Heap* last, AO_t token) {
  StoreRelaxed(&first->holder, token);
  AO_t head;
  do {
    head = LoadRelaxed(&registry);
    last->next_in_registry = head == 0 ? first_heaps : AsHeap(head);
    // Release: a thread that finds the heaps sees them and their links as they
    // are now. Nothing is ever removed, so the head cannot come back.
  } while (!CasRelease(&registry, head, reinterpret_cast<AO_t>(first)));
}

}  // namespace

Heap first_heaps[kFirstHeaps];
AtomicWord registry = 0;

Heap* Next(const Heap* heap) {
  // The first heaps are in static storage, where their link is zero.
  const bool is_first = heap >= first_heaps && heap < first_heaps + kFirstHeaps;
  if (!is_first) return heap->next_in_registry;
  return heap + 1 < first_heaps + kFirstHeaps ? const_cast<Heap*>(heap + 1)
                                              : nullptr;
}

Heap* Registry() {
  // Acquire: the heaps, and the links that lead to them, are as they were when
  // Register published them.
  const AO_t head = LoadAcquire(&registry);
  return head == 0 ? first_heaps : AsHeap(head);
}

void NoteFree(Heap* heap) {
  // Release: as in Search.
  StoreRelease(&free_cursor, reinterpret_cast<AO_t>(heap));
}

bool AcquireIdle(Heap* heap, AO_t token, const ClaimFrame& frame) {
  // Acquire, here too: the claim that is looked at next is no older.
  if (LoadAcquire(&heap->holder) != 0) return false;
  const AO_t seen = heap->claim.PeekForVisit();
  if (remote_claim::IsUnderWay(heap, seen)) return false;
  // Acquire: we continue what the last holder did before its release.
  if (!CasAcquire(&heap->holder, 0, token)) return false;
  // Before anything is done to it.
  if (!HasNewToken(heap, token)) return false;
  // The last holder has released the heap, but not ended its claim yet. Its
  // work is done. But a handler of ours may have had a frame in that place, and
  // be abandoned. Or it is the tag of a visit that has ended.
  if (seen != 0 && heap->claim.TakeOver(seen, frame)) {
    remote_claim::Repair(heap);
    heap->claim.Release();
  }
  return true;
}

bool AcquireDead(Heap* heap, AO_t token, const ClaimFrame& frame) {
  // Acquire: the claim is looked at after this load. What the vanished thread
  // did to the heap, the kernel's answer has ordered (atomics.h).
  const AO_t holder = LoadAcquire(&heap->holder);
  // Acquire: if this is the generation under which a living thread has recorded
  // a new id, `holder` has changed for us, too.
  const auto generation = static_cast<uint32_t>(LoadAcquire(&heap->generation));
  if (!liveness::IsDead(holder, generation)) return false;
  // If this thread was stopped for long, there may be a new thread by now, in
  // the same place and with the same id. So nobody gets the heap at first, and
  // we ask again. If this thread vanishes meanwhile, its id leads to the heap.
  const AO_t nobody = NobodyWithIdOf(token);
  // Acquire: what we do to the heap stays behind this.
  if (!CasAcquire(&heap->holder, holder, nobody)) return false;
  if (!liveness::IsDead(holder, generation)) {
    // Full, but relaxed would do: nothing was changed.
    CasFull(&heap->holder, nobody, holder);
    return false;
  }
  // Taken over while no handler of ours can claim the heap: a claim that is
  // seen later may be a handler's.
  const AO_t seen = heap->claim.PeekForVisit();
  const bool taken_over = seen != 0 && !remote_claim::IsUnderWay(heap, seen) &&
                          heap->claim.TakeOver(seen, frame);
  // Full, but acquire would do. It fails in the child of a handler's fork, if
  // another thread has found our old id.
  const bool is_ours =
      CasFull(&heap->holder, nobody, token) && HasNewToken(heap, token);
  if (taken_over && !is_ours) {
    heap->claim.Abandon(frame);  // it is that thread's to repair
  } else if (taken_over) {
    remote_claim::Repair(heap);
    heap->claim.ReleaseIf(frame);
  }
  return is_ours;
}

Heap* AcquireFree(AO_t token, const ClaimFrame& frame) {
  return Search(&free_cursor, [&](Heap* heap) {
    return AcquireIdle(heap, token, frame) ? Look::kFound : Look::kGoOn;
  });
}

Heap* AcquireFromDead(AO_t token, const ClaimFrame& frame) {
  int asked = 0;
  return Search(&dead_cursor, [&](Heap* heap) {
    bool is_ours;
    if (LoadRelaxed(&heap->holder) == 0) {
      // The other search begins anew each time that a heap is released, and may
      // never come here.
      is_ours = AcquireIdle(heap, token, frame);
    } else if (remote_claim::IsUnderWay(heap, heap->claim.PeekForVisit())) {
      return Look::kGoOn;  // the visitor's heap comes first
    } else if (asked++ == kMostAsked) {
      return Look::kGiveUp;
    } else {
      is_ours = AcquireDead(heap, token, frame);
    }
    return is_ours ? Look::kFound : Look::kGoOn;
  });
}

void MapHeaps() {
  constexpr size_t kBytes = kMappedHeaps * sizeof(Heap);
  void* memory = os::Map(kBytes, os::PageSize());
  if (memory != nullptr) os::Name(memory, kBytes, os::kDescriptorsName);
  StoreRelaxed(&mapped_heaps, reinterpret_cast<AO_t>(memory));
}

// Adds a spare heap to the registry, or a run of heaps.
Heap* AddHeaps(AO_t token) {
  AO_t spare;
  while ((spare = LoadRelaxed(&spares_used)) < CountSpares()) {
    // Commits. Abandoned after it, the operation loses one heap. Acquire, but
    // relaxed would do: the word only counts, and nobody has used the heap.
    if (!CasAcquire(&spares_used, spare, spare + 1)) continue;
    Heap* heap = spare < kSpareHeaps ? &spare_heaps[spare]
                                     : new (AsHeap(LoadRelaxed(&mapped_heaps)) +
                                            spare - kSpareHeaps) Heap();
    Register(heap, heap, token);
    return heap;
  }
  // In the static heap, some that share units, or one alone if there is no
  // room. Seven fill eight units.
  constexpr size_t kTogether = 7;
  static_assert(kTogether * sizeof(Heap) <= memory::kMappedUnitBytes);
  memory::Grant grant;
  for (const size_t least : {kTogether, size_t{1}}) {
    grant = memory::Take({memory::kMappedUnitBytes, least * sizeof(Heap), 1});
    if (grant.run != nullptr) break;
  }
  if (grant.run == nullptr) return nullptr;
  grant.run->kind = RunKind::kOwn;
  const size_t count = memory::BytesOf(grant.run) / sizeof(Heap);
  auto* memory = reinterpret_cast<Heap*>(grant.address());
  // A heap is prepared by whoever claims it first, so that its cache lines need
  // not come from here. Fresh memory is all zero, as a new heap is.
  for (size_t i = 0; i < count; ++i) {
    if (!grant.zeroed) new (&memory[i]) Heap();
    if (i + 1 < count) memory[i].next_in_registry = &memory[i + 1];
  }
  Register(memory, &memory[count - 1], token);
  if (count > 1) NoteFree(&memory[1]);
  return memory;
}

}  // namespace aomalloc::thread
