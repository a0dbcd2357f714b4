#include "core/thread.h"

#include <pthread.h>

#include <new>

#include "core/check.h"
#include "core/liveness.h"
#include "core/memory.h"
#include "core/os.h"

namespace aomalloc::thread {
namespace {

// Enough for a small program and its handlers: no memory need be found for
// them, not even when the dynamic loader calls.
Heap first_heaps[4] = {Heap(&first_heaps[1]), Heap(&first_heaps[2]),
                       Heap(&first_heaps[3]), Heap(nullptr)};
AtomicWord registry = 0;     // Heap*; 0 stands for first_heaps
AtomicWord idle_cursor = 0;  // Heap* to look at next, or 0
AtomicWord exit_key = 0;     // pthread_key_t + 1, or 0

Heap* AsHeap(AO_t word) { return reinterpret_cast<Heap*>(word); }

// True if the claimant that left `seen` is gone for certain (claim.h).
bool IsAbandoned(AO_t seen, const ClaimFrame& frame) {
  if (!ClaimFrame::IsTag(seen)) return false;
  if (seen == frame.tag()) return true;  // its place is ours now
  const volatile AO_t* self = ClaimFrame::Address(seen);
  // A stack that is gone cannot be read. Without mmap there is no system call
  // to ask with; a place near ours is on our stack.
  const intptr_t distance =
      reinterpret_cast<intptr_t>(self) - reinterpret_cast<intptr_t>(&frame);
  constexpr intptr_t kNear = intptr_t{16} << 10;
  const bool near = distance > -kNear && distance < kNear;
  if (!near && !(memory::MmapEnabled() && os::IsReadable(self))) return false;
  return *self != seen;
}

bool ClaimOrTakeOver(Heap* heap, const ClaimFrame& frame) {
  if (heap->claim.Claim(frame)) return true;
  const AO_t seen = heap->claim.Peek();
  if (seen == 0 || !IsAbandoned(seen, frame)) return false;
  if (!heap->claim.TakeOver(seen, frame)) return false;
  heap->Repair();
  return true;
}

Heap* ClaimHeld(const ClaimFrame& frame) {
  for (Heap* heap = Registry(); heap != nullptr;
       heap = heap->next_in_registry) {
    if (LoadRelaxed(&heap->holder) == ThisThread() &&
        ClaimOrTakeOver(heap, frame)) {
      return heap;
    }
  }
  return nullptr;
}

// Makes this thread hold a heap that nobody does.
bool Acquire() {
  for (Heap* heap = Registry(); heap != nullptr;
       heap = heap->next_in_registry) {
    // Acquire: we continue what its last holder did.
    if (LoadRelaxed(&heap->holder) == 0 &&
        CasAcquire(&heap->holder, 0, ThisThread())) {
      StoreRelaxed(&heap->holder_id, liveness::IdToRecord());
      return true;
    }
  }
  return false;
}

// Makes this thread hold a heap of one that vanished.
bool AcquireFromDead(const ClaimFrame& frame) {
  for (Heap* heap = Registry(); heap != nullptr;
       heap = heap->next_in_registry) {
    const AO_t holder = LoadAcquire(&heap->holder);
    const AO_t id = LoadRelaxed(&heap->holder_id);
    // The id goes before the holder: a heap that others take over meanwhile
    // has another holder, or our comparison fails on the id.
    if (holder == 0 || !liveness::IsDead(id) ||
        !CasFull(&heap->holder_id, id, 0)) {
      continue;
    }
    if (!CasAcquire(&heap->holder, holder, ThisThread())) continue;
    StoreRelaxed(&heap->holder_id, liveness::IdToRecord());
    const AO_t seen = heap->claim.Peek();
    if (seen != 0 && heap->claim.TakeOver(seen, frame)) {
      heap->Repair();
      heap->claim.Release();
    }
    return true;
  }
  return false;
}

// In a process that is new our heaps have no id, or one of the parent.
void RecordIds() {
  for (Heap* heap = Registry(); heap != nullptr;
       heap = heap->next_in_registry) {
    if (LoadRelaxed(&heap->holder) == ThisThread()) {
      StoreRelaxed(&heap->holder_id, liveness::ThreadId());
    }
  }
  liveness::ProcessIsKnown();
}

// Adds a run of heaps to the registry, the first held by this thread.
bool AddHeaps() {
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
  StoreRelaxed(&memory[0].holder, ThisThread());
  StoreRelaxed(&memory[0].holder_id, liveness::IdToRecord());
  Heap* last = &memory[count - 1];
  AO_t head;
  do {
    head = LoadRelaxed(&registry);
    last->next_in_registry = head == 0 ? first_heaps : AsHeap(head);
    // Release: the heaps are published with it. Nothing is ever removed, so
    // the head cannot come back.
  } while (!CasRelease(&registry, head, reinterpret_cast<AO_t>(memory)));
  return true;
}

// Gives up a heap that we hold and have claimed. The claim goes last: until the
// heap is no longer ours, no handler may make it `current`.
void Release(Heap* heap) {
  if (current == heap) current = nullptr;
  CompilerBarrier();
  // The id before the holder, or the next holder could be taken for the last.
  StoreRelaxed(&heap->holder_id, 0);
  // Release: the next holder continues from here.
  StoreRelease(&heap->holder, 0);
  heap->claim.Release();
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

__thread Heap* current = nullptr;

AO_t ThisThread() { return reinterpret_cast<AO_t>(&current); }

Heap* Registry() {
  const AO_t head = LoadAcquire(&registry);
  return head == 0 ? first_heaps : AsHeap(head);
}

Heap* ClaimHeap(const ClaimFrame& frame) {
  if (liveness::ProcessIsNew()) RecordIds();
  Heap* heap = current;
  if (heap != nullptr && ClaimOrTakeOver(heap, frame)) return heap;
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

void DrainIdleHeap(const ClaimFrame& frame) {
  Heap* heap = AsHeap(LoadAcquire(&idle_cursor));
  if (heap == nullptr) heap = Registry();
  StoreRelease(&idle_cursor, reinterpret_cast<AO_t>(heap->next_in_registry));
  if (LoadRelaxed(&heap->holder) != 0 || !heap->HasRemote() ||
      !CasAcquire(&heap->holder, 0, ThisThread())) {
    return;
  }
  if (!heap->claim.Claim(frame)) return;
  heap->Drain();
  Release(heap);
}

void TrimHeaps() {
  const ClaimFrame frame;
  for (Heap* heap = Registry(); heap != nullptr;
       heap = heap->next_in_registry) {
    const AO_t holder = LoadRelaxed(&heap->holder);
    if (holder == ThisThread()) {
      if (!ClaimOrTakeOver(heap, frame)) continue;
      heap->Trim();
      heap->claim.Release();
    } else if (holder == 0 && CasAcquire(&heap->holder, 0, ThisThread()) &&
               heap->claim.Claim(frame)) {
      heap->Trim();
      Release(heap);
    }
  }
}

void ReleaseHeaps() {
  const ClaimFrame frame;
  for (Heap* heap = Registry(); heap != nullptr;
       heap = heap->next_in_registry) {
    if (LoadRelaxed(&heap->holder) != ThisThread()) continue;
    if (!heap->claim.Claim(frame)) {
      // The thread ends: whoever claimed it will not come back.
      const AO_t seen = heap->claim.Peek();
      if (!heap->claim.TakeOver(seen, frame)) continue;
      heap->Repair();
    }
    heap->Trim();
    AOMALLOC_CHECK(heap->IsValid());
    Release(heap);
  }
}

}  // namespace aomalloc::thread
