#include "core/thread.h"

#include <pthread.h>

#include <new>

#include "core/check.h"
#include "core/liveness.h"
#include "core/memory.h"
#include "core/os.h"

namespace aomalloc::thread {
namespace {

// For programs with more threads. They are added to the registry one by one, so
// that who walks it need not pass by all. Heaps stay where they are for ever:
// here they cut no hole into the static heap.
constexpr AO_t kSpareHeaps = 60;
Heap spare_heaps[kSpareHeaps];
AtomicWord spares_used = 0;

AtomicWord idle_cursor = 0;  // Heap* to look at next, or 0
AtomicWord exit_key = 0;     // pthread_key_t + 1, or 0

// What ThisThread returns; 0 until it is asked.
__thread AtomicWord token __attribute__((tls_model("initial-exec"))) = 0;

// Frees of this thread while it held no heap.
__thread uint8_t frees_without_heap __attribute__((tls_model("initial-exec")));

// Thread-local variables of two threads are further apart than 64 bytes, and
// user addresses are below 2^47.
AO_t TokenWith(AO_t id) {
  return reinterpret_cast<AO_t>(&token) >> 6 << liveness::kIdBits | id;
}

AO_t IdOf(AO_t holder) { return holder & ((AO_t{1} << liveness::kIdBits) - 1); }

Heap* AsHeap(AO_t word) { return reinterpret_cast<Heap*>(word); }

// True if the claimant that left `seen` is gone for certain (claim.h).
bool IsAbandoned(AO_t seen, const ClaimFrame& frame) {
  if (!ClaimFrame::IsTag(seen)) return false;
  if (seen == frame.tag()) return true;  // its place is ours now
  const volatile AO_t* self = ClaimFrame::Address(seen);
  // A place near ours is on our stack. Any other may be gone, or go while we
  // look: let the kernel look. Without mmap it cannot be asked.
  const intptr_t distance =
      reinterpret_cast<intptr_t>(self) - reinterpret_cast<intptr_t>(&frame);
  constexpr intptr_t kNear = intptr_t{16} << 10;
  const bool near = distance > -kNear && distance < kNear;
  if (near) return *self != seen;
  return memory::MmapEnabled() && !os::Holds(self, static_cast<unsigned>(seen));
}

// Claims a heap that this thread holds, perhaps for the first time.
bool Claim(Heap* heap, const ClaimFrame& frame) {
  if (!heap->claim.Claim(frame)) return false;
  if (!heap->IsPrepared()) heap->Prepare();
  return true;
}

bool ClaimOrTakeOver(Heap* heap, const ClaimFrame& frame) {
  if (Claim(heap, frame)) return true;
  const AO_t seen = heap->claim.Peek();
  if (seen == 0 || !IsAbandoned(seen, frame)) return false;
  if (!heap->claim.TakeOver(seen, frame)) return false;
  heap->Repair();
  return true;
}

Heap* ClaimHeld(const ClaimFrame& frame) {
  for (Heap* heap = Registry(); heap != nullptr; heap = Next(heap)) {
    if (LoadRelaxed(&heap->holder) == ThisThread() &&
        ClaimOrTakeOver(heap, frame)) {
      return heap;
    }
  }
  return nullptr;
}

// Makes this thread hold a heap that nobody does.
bool Acquire() {
  for (Heap* heap = Registry(); heap != nullptr; heap = Next(heap)) {
    // Acquire: we continue what its last holder did.
    if (LoadRelaxed(&heap->holder) == 0 &&
        CasAcquire(&heap->holder, 0, ThisThread())) {
      return true;
    }
  }
  return false;
}

// Makes this thread hold a heap of one that vanished.
bool AcquireFromDead(const ClaimFrame& frame) {
  for (Heap* heap = Registry(); heap != nullptr; heap = Next(heap)) {
    const AO_t holder = LoadAcquire(&heap->holder);
    if (holder == 0 || !liveness::IsDead(IdOf(holder))) continue;
    // Looked at while nobody can claim the heap: a claim seen later might be
    // that of a handler of ours.
    const AO_t seen = heap->claim.Peek();
    if (!CasAcquire(&heap->holder, holder, ThisThread())) continue;
    if (seen != 0 && heap->claim.TakeOver(seen, frame)) {
      heap->Repair();
      heap->claim.Release();
    }
    return true;
  }
  return false;
}

// In a process that is new, our token and the heaps that bear it have no id, or
// one of the parent. A handler that comes in between does all of this again.
void RecordId() {
  token = TokenWith(liveness::ThreadId());
  for (Heap* heap = Registry(); heap != nullptr; heap = Next(heap)) {
    const AO_t holder = LoadRelaxed(&heap->holder);
    if (holder != 0 && holder - IdOf(holder) == TokenWith(0)) {
      CasFull(&heap->holder, holder, token);
    }
  }
  liveness::ProcessIsKnown();
}

// Puts heaps, linked from `first` to `last`, on the registry. This thread holds
// the first.
void Register(Heap* first, Heap* last) {
  StoreRelaxed(&first->holder, ThisThread());
  AO_t head;
  do {
    head = LoadRelaxed(&registry);
    last->next_in_registry = head == 0 ? first_heaps : AsHeap(head);
    // Release: the heaps are published with it. Nothing is ever removed, so
    // the head cannot come back.
  } while (!CasRelease(&registry, head, reinterpret_cast<AO_t>(first)));
}

// Adds a heap to the registry, or a run of them. False when there is no memory
// for one. Rare: not to be part of its caller.
[[gnu::noinline]] bool AddHeaps() {
  AO_t spare;
  while ((spare = LoadRelaxed(&spares_used)) < kSpareHeaps) {
    // Stopped behind this, we lose one heap.
    if (!CasAcquire(&spares_used, spare, spare + 1)) continue;
    Register(&spare_heaps[spare], &spare_heaps[spare]);
    return true;
  }
  const memory::Taken taken =
      memory::Take({memory::kMappedUnitBytes, memory::kStaticUnitBytes, 1});
  if (taken.run == nullptr) return false;
  taken.run->kind = RunKind::kOwn;
  const size_t count =
      taken.run->units * taken.arena->unit_bytes() / sizeof(Heap);
  auto* memory = reinterpret_cast<Heap*>(taken.address());
  for (size_t i = count; i-- > 0;) {
    new (&memory[i]) Heap(i + 1 < count ? &memory[i + 1] : nullptr);
  }
  Register(memory, &memory[count - 1]);
  return true;
}

// Gives up a heap that we hold and have claimed. The claim goes last: until the
// heap is no longer ours, no handler may make it `current`. If we are stopped
// in between, the next holder may have taken the claim over before we let it
// go.
void Release(Heap* heap, const ClaimFrame& frame) {
  if (current == heap) current = nullptr;
  CompilerBarrier();
  // Release: the next holder continues from here.
  StoreRelease(&heap->holder, 0);
  heap->claim.ReleaseIf(frame);
}

// Calls `visit` with each heap that this thread holds, or nobody does, claimed.
template <typename Visit>
void ForEachReachable(Visit visit) {
  const ClaimFrame frame;
  for (Heap* heap = Registry(); heap != nullptr; heap = Next(heap)) {
    const AO_t holder = LoadRelaxed(&heap->holder);
    if (holder == ThisThread()) {
      if (!ClaimOrTakeOver(heap, frame)) continue;
      visit(heap);
      heap->claim.Release();
    } else if (holder == 0 && CasAcquire(&heap->holder, 0, ThisThread()) &&
               Claim(heap, frame)) {
      visit(heap);
      Release(heap, frame);
    }
  }
}

void AtThreadExit(void*) { ReleaseHeaps(); }

// Sees to it that AtThreadExit runs in this thread.
void RegisterExit() {
  AO_t key = LoadAcquire(&exit_key);
  if (key == 0) {
    pthread_key_t made;
    if (pthread_key_create(&made, AtThreadExit) != 0) return;
    if (!CasFull(&exit_key, 0, static_cast<AO_t>(made) + 1)) {
      pthread_key_delete(made);
    }
    key = LoadAcquire(&exit_key);
  }
  pthread_setspecific(static_cast<pthread_key_t>(key - 1), &current);
}

}  // namespace

Heap first_heaps[kFirstHeaps];
AtomicWord registry = 0;

__thread Heap* current = nullptr;
AtomicWord nested_entries = 0;

AO_t ThisThread() {
  // A handler that forks here has set the token of the child already.
  if (token == 0) CasRelaxed(&token, 0, TokenWith(liveness::IdToRecord()));
  return token;
}

Heap* Next(const Heap* heap) {
  // The first heaps are in static storage, and all zero there.
  const bool is_first = heap >= first_heaps && heap < first_heaps + kFirstHeaps;
  if (!is_first) return heap->next_in_registry;
  return heap + 1 < first_heaps + kFirstHeaps ? const_cast<Heap*>(heap + 1)
                                              : nullptr;
}

Heap* Registry() {
  const AO_t head = LoadAcquire(&registry);
  return head == 0 ? first_heaps : AsHeap(head);
}

Heap* ClaimHeap(const ClaimFrame& frame) {
  if (liveness::ProcessIsNew()) RecordId();
  Heap* heap = current;
  if (heap != nullptr) {
    if (ClaimOrTakeOver(heap, frame)) return heap;
    AddRelaxed(&nested_entries, 1);
  }
  // A handler may claim what we acquire before we do, and give it back; or
  // keep it, if it switched stacks: then we acquire another.
  while ((heap = ClaimHeld(frame)) == nullptr) {
    if (!Acquire() && !AcquireFromDead(frame) && !AddHeaps()) return nullptr;
  }
  if (current == nullptr) {
    current = heap;
    RegisterExit();
  }
  return heap;
}

Heap* ClaimForFreeSlow(const ClaimFrame& frame) {
  constexpr uint8_t kMany = 200;
  if (frees_without_heap < kMany) {
    ++frees_without_heap;
    return nullptr;
  }
  frees_without_heap = 0;
  return ClaimHeap(frame);
}

void DrainIdleHeap(const ClaimFrame& frame) {
  Heap* heap = AsHeap(LoadAcquire(&idle_cursor));
  if (heap == nullptr) heap = Registry();
  StoreRelease(&idle_cursor, reinterpret_cast<AO_t>(Next(heap)));
  if (LoadRelaxed(&heap->holder) != 0 || !heap->HasRemote() ||
      !CasAcquire(&heap->holder, 0, ThisThread())) {
    return;
  }
  if (!heap->claim.Claim(frame)) return;
  heap->Drain();
  Release(heap, frame);
}

void RaidHeaps() {
  const ClaimFrame frame;
  Heap* heap = ClaimHeap(frame);
  if (heap == nullptr) return;
  for (Heap* victim = Registry(); victim != nullptr; victim = Next(victim)) {
    if (victim != heap && victim->HasRemote()) heap->Raid(victim);
  }
  heap->claim.Release();
}

void TrimHeaps() {
  // What one sends home another finds there.
  ForEachReachable([](Heap* heap) { heap->SendForeign(); });
  ForEachReachable([](Heap* heap) { heap->Trim(); });
}

void ReleaseHeaps() {
  const ClaimFrame frame;
  for (Heap* heap = Registry(); heap != nullptr; heap = Next(heap)) {
    if (LoadRelaxed(&heap->holder) != ThisThread()) continue;
    if (!Claim(heap, frame)) {
      // The thread ends: whoever claimed it will not come back.
      const AO_t seen = heap->claim.Peek();
      if (!heap->claim.TakeOver(seen, frame)) continue;
      heap->Repair();
    }
    heap->Trim();
    AOMALLOC_CHECK(heap->IsValid());
    Release(heap, frame);
  }
}

}  // namespace aomalloc::thread
