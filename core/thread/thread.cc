#include "core/thread/thread.h"

#include <pthread.h>

#include "core/arena/memory.h"
#include "core/base/check.h"
#include "core/base/os.h"
#include "core/thread/liveness.h"
#include "core/thread/registry.h"
#include "core/thread/remote_claim.h"

namespace aomalloc::thread {
namespace {

AtomicWord exit_key = 0;  // pthread_key_t + 1, or 0

// How many heaps this thread may hold that are not on the list below yet, or
// never will be, since the operation that acquired them was abandoned. While
// there are any, the registry is searched for them. The list, by `next_held`:
// Heap*, or 0.
__thread AtomicWord unlisted __attribute__((tls_model("initial-exec"))) = 0;
__thread AtomicWord held __attribute__((tls_model("initial-exec"))) = 0;

// The heap that rests, or null; the low bits of the claim that the current heap
// was last found with, and how often.
__thread Heap* resting __attribute__((tls_model("initial-exec"))) = nullptr;
__thread uint32_t doubted __attribute__((tls_model("initial-exec"))) = 0;
__thread uint8_t doubts __attribute__((tls_model("initial-exec"))) = 0;

// How often a heap of this thread was found visited by another one.
__thread uint8_t visitors_met __attribute__((tls_model("initial-exec"))) = 0;

// True once the thread has begun to release its heaps.
__thread bool ending __attribute__((tls_model("initial-exec"))) = false;

// The number of frees by this thread while it held no heap.
__thread uint8_t frees_without_heap __attribute__((tls_model("initial-exec")));

using liveness::recorded;
using liveness::token;

// The token of this thread, with `id`.
AO_t TokenWith(AO_t id) { return liveness::TokenAt(&token) | id; }

Heap* AsHeap(AO_t word) { return reinterpret_cast<Heap*>(word); }

bool IsHeld(const Heap* heap) {
  return LoadRelaxed(&heap->holder) == ThisThread();
}

// Counts in `unlisted` while it lives. An abandoned operation leaves it
// counted.
class Unlisted {
 public:
  Unlisted() { Count(1); }
  ~Unlisted() { Count(~AO_t{0}); }
  static void Count(AO_t more) {
    CompilerBarrier();
    AddRelaxed(&unlisted, more);  // no handler splits it
    CompilerBarrier();
  }
  Unlisted(const Unlisted&) = delete;
  Unlisted& operator=(const Unlisted&) = delete;
};

// True if the claimant that left `seen` is certainly gone (claim.h).
bool IsAbandoned(AO_t seen, const ClaimFrame& frame) {
  const AO_t tag = ClaimFrame::Unmarked(seen);
  // It was marked while it was free, or before it was undone; or Abandon says
  // so.
  if (tag == 0) return true;
  if (!ClaimFrame::IsTag(tag)) return false;
  if (tag == frame.tag()) return true;  // our frame is in its place
  const volatile AO_t* self = ClaimFrame::Address(seen);
  // The page that we run on is there. Any other may have been unmapped with the
  // claimant's stack, however near it is, or go while we look. So the kernel
  // has to look. Without mmap it may not be asked. Then, and when it does not
  // answer, the claimant counts as interrupted.
  constexpr uintptr_t kLeastPage = 4096;
  if (reinterpret_cast<uintptr_t>(self) / kLeastPage ==
      reinterpret_cast<uintptr_t>(&frame) / kLeastPage) {
    return *self != tag;
  }
  return memory::MmapEnabled() &&
         os::Differs(self, static_cast<unsigned>(seen));
}

// Claims a heap that this thread holds. Prepares it if this is the first claim.
bool Claim(Heap* heap, const ClaimFrame& frame) {
  if (!heap->claim.Claim(frame)) return false;
  if (!heap->IsPrepared()) heap->Prepare();
  return true;
}

// Takes over an abandoned claim, or that of a visit which has ended. The heap
// is not repaired yet.
bool TakeOver(Heap* heap, const ClaimFrame& frame) {
  AO_t seen = heap->claim.PeekForVisit();
  if (ClaimWord::IsRemote(seen)) {
    return !remote_claim::IsUnderWay(heap, seen) &&
           heap->claim.TakeOver(seen, frame);
  }
  if (seen == 0 || !IsAbandoned(seen, frame)) return false;
  seen = heap->claim.Mark(seen);
  if (seen == 0 || !IsAbandoned(seen, frame)) return false;
  return heap->claim.TakeOver(seen, frame);
}

// Claims a heap that this thread holds. If its claim is abandoned, takes it
// over and repairs the heap.
bool ClaimOrTakeOver(Heap* heap, const ClaimFrame& frame) {
  if (Claim(heap, frame)) return true;
  if (!TakeOver(heap, frame)) return false;
  remote_claim::Repair(heap);
  return true;
}

// Puts a heap that this thread holds on its list.
void List(Heap* heap) {
  AO_t first;
  do {  // a handler may put another heap there
    first = held;
    Commit(&heap->next_held, AsHeap(first));
  } while (!CasRelaxed(&held, first, reinterpret_cast<AO_t>(heap)));
}

// True if this thread may hold heaps that are not on its list.
bool HasUnlisted() {
  // A thread whose id was not known when it vanished is never known to be dead.
  // But if our token has no id either, and is the same, then we have its place
  // in memory. Its heaps are ours.
  return unlisted != 0 || Holder::IdOf(ThisThread()) == 0;
}

// Claims a heap on this thread's list that is not in use. Null if there is
// none.
Heap* ClaimListed(const ClaimFrame& frame) {
  for (Heap* heap = AsHeap(held); heap != nullptr; heap = heap->next_held) {
    if (IsHeld(heap) && ClaimOrTakeOver(heap, frame)) return heap;
  }
  return nullptr;
}

// The same for a heap that may be on no list. An operation of this thread that
// was switched away from may be about to release it, after a visit.
bool ClaimIfHeld(Heap* heap, const ClaimFrame& frame) {
  if (!IsHeld(heap)) return false;
  const bool was_free = heap->claim.ClaimAmongThreads(frame);
  if (!was_free && !TakeOver(heap, frame)) return false;
  const bool is_still_held = IsHeld(heap);
  if (is_still_held) {
    remote_claim::Repair(heap);
  } else if (was_free) {
    heap->claim.ReleaseIf(frame);
  } else {
    heap->claim.Abandon(frame);
  }
  return is_still_held;
}

// Claims a heap that this thread holds and that is on no list.
Heap* ClaimUnlisted(const ClaimFrame& frame) {
  if (!HasUnlisted()) return nullptr;
  for (Heap* heap = Registry(); heap != nullptr; heap = Next(heap)) {
    if (ClaimIfHeld(heap, frame)) return heap;
  }
  return nullptr;
}

// To be called when the current heap could not be claimed.
void Doubt(Heap* heap) {
  constexpr uint8_t kMost = 8;
  const auto seen = static_cast<uint32_t>(heap->claim.Peek());
  if (seen != doubted) {
    doubted = seen;
    doubts = 0;
  }
  if (++doubts < kMost) return;
  doubts = 0;
  resting = heap;
  current = nullptr;
}

// Claims the heap that rests, if that is possible now, and makes it the current
// one. A handler in between may have done so, and another heap rests since;
// that one is found when operations are nested.
bool ClaimResting(Heap* heap, const ClaimFrame& frame) {
  if (!ClaimOrTakeOver(heap, frame)) return false;
  Heap* stand_in = current;
  resting = nullptr;
  current = heap;
  // What it has gathered would wait for long.
  const ClaimFrame second;
  if (stand_in != nullptr && stand_in != heap &&
      ClaimOrTakeOver(stand_in, second)) {
    stand_in->SendForeign();
    stand_in->claim.Release();
  }
  return true;
}

// Notes under which generation the id in a heap's `holder` was recorded.
void NoteGeneration(Heap* heap, AO_t generation) {
  // Release: who sees this sees the id, too, or a later holder's.
  StoreRelease(&heap->generation, generation);
}

// A heap that was acquired with what was this thread's token. If a handler has
// forked or recorded the id since, the token has another id, and the heap gets
// it. Null if another thread has taken the heap meanwhile, for that of a
// vanished one.
Heap* WithNewToken(Heap* heap, AO_t old) {
  if (heap == nullptr) return nullptr;
  // Read before the token: so it is never newer than the id in `holder`.
  const uint32_t generation = recorded;
  CompilerBarrier();
  // Full, but relaxed would do: the heap stays ours.
  const bool is_ours = old == ThisThread() ||
                       CasFull(&heap->holder, old, ThisThread()) ||
                       IsHeld(heap);
  if (is_ours) NoteGeneration(heap, generation);
  return is_ours ? heap : nullptr;
}

// Acquires and claims a heap for a visit, if nobody holds it. The caller counts
// it in `unlisted`.
bool ClaimIdle(Heap* heap, const ClaimFrame& frame) {
  const AO_t with = ThisThread();
  if (!AcquireIdle(heap, with, frame) || WithNewToken(heap, with) == nullptr) {
    return false;
  }
  if (Claim(heap, frame)) return true;
  List(heap);  // a handler found it, and has switched to another stack in it
  return false;
}

// Calls `visit` with each heap that this thread may hold. `all`: some may not
// be on its list.
template <typename Visit>
void ForEachHeld(bool all, Visit visit) {
  // What a thread that ends is at work on is on its list no more, or never was.
  if (!all && !HasUnlisted() && !ending) {
    for (Heap* heap = AsHeap(held); heap != nullptr; heap = heap->next_held) {
      visit(heap);
    }
    return;
  }
  for (Heap* heap = Registry(); heap != nullptr; heap = Next(heap)) visit(heap);
}

// Puts our id into our token and into the heaps that we hold, if this has not
// been done in this process. A handler may do all of it in between, and may
// fork before or after that. `urgent` is for ToRecord.
void RecordId(bool urgent) {
  uint32_t generation;
  while ((generation = liveness::ToRecord(urgent)) != 0) {
    const AO_t before = token;
    const bool all = before != 0 && HasUnlisted();
    const AO_t id = liveness::ThreadId();
    if (!CasRelaxed(&token, before, TokenWith(id))) continue;
    if (before != 0) {
      ForEachHeld(all, [=](Heap* heap) {
        const AO_t holder = LoadRelaxed(&heap->holder);
        if (holder == 0 || holder - Holder::IdOf(holder) != TokenWith(0)) {
          return;
        }
        // The token is read after the holder: so if a handler has put another
        // id into both, the compare-and-swap fails.
        const AO_t now = token;
        // That of a thread which had our place and vanished is not on our list.
        if (holder != before && holder != now) Unlisted::Count(1);
        // Full, but relaxed would do: the heap stays ours, and what other
        // threads must see is released below.
        if (CasFull(&heap->holder, holder, now)) {
          NoteGeneration(heap, generation);
        }
      });
    }
    liveness::FirstHasRecorded(generation, id);
    Commit(&recorded, generation);
  }
}

// Makes this thread hold another heap. False if there is no memory for one.
bool Acquire(const ClaimFrame& frame) {
  const Unlisted counted;
  AO_t with = ThisThread();
  Heap* heap = AcquireFree(with, frame);
  if (heap == nullptr) {
    RecordId(/*urgent=*/true);
    with = ThisThread();
    heap = AcquireFromDead(with, frame);
  }
  if (heap == nullptr) heap = AddHeaps(with);
  if (heap == nullptr) return false;
  heap = WithNewToken(heap, with);
  if (heap != nullptr) List(heap);
  return true;  // the caller looks for one once more
}

// True if this thread would be found, and its visits ended, if it vanished.
bool WouldBeFound() {
  RecordId(/*urgent=*/true);
  return Holder::IdOf(ThisThread()) != 0 && liveness::HasRecorded();
}

// To be called when a heap could not be claimed: another thread that visits it
// may have vanished. Then this thread takes that thread's heap, which ends the
// visit.
void VisitorIsDoubted(const Heap* heap, const ClaimFrame& frame) {
  Heap* from = remote_claim::VisitorOf(heap);
  if (from == nullptr || ending) return;
  RecordId(/*urgent=*/true);
  const Unlisted counted;
  const AO_t with = ThisThread();
  if (!AcquireDead(from, with, frame)) return;
  from = WithNewToken(from, with);
  if (from != nullptr) List(from);
}

// The same for a heap of this thread, which finds it so often. The kernel is
// asked now and then.
void DoubtVisitor(const Heap* heap, const ClaimFrame& frame) {
  constexpr uint8_t kAsks = 8;
  if (!ClaimWord::IsRemote(heap->claim.Peek()) || ++visitors_met % kAsks != 0) {
    return;
  }
  VisitorIsDoubted(heap, frame);
}

// Gives up a heap that this thread holds and has claimed. The claim goes last:
// until the heap is no longer ours, no handler may make it `current`. If we are
// stopped in between, the next holder may have taken the claim over before we
// give it up.
void Release(Heap* heap, const ClaimFrame& frame) {
  if (current == heap) current = nullptr;
  CompilerBarrier();  // or a handler may have the current heap rest in between
  if (resting == heap) resting = nullptr;
  CompilerBarrier();
  // Whoever acquires the heap may have recorded no id in this process yet.
  StoreRelaxed(&heap->generation, 0);
  // Release: the next holder continues what was done to the heap. A thread that
  // sees a later holder sees this generation, or a later one.
  StoreRelease(&heap->holder, 0);
  heap->claim.ReleaseIf(frame);
}

// Releases a heap at the end of the thread that holds it.
void ReleaseHeld(Heap* heap) {
  const ClaimFrame frame;
  bool is_claimed;
  while (!(is_claimed = Claim(heap, frame))) {
    const AO_t seen = heap->claim.PeekForVisit();
    // The visitor need not come back soon. It leaves the heap in order.
    if (remote_claim::IsUnderWay(heap, seen)) break;
    // The thread ends, so the operation that claimed it will not resume.
    is_claimed = seen != 0 && heap->claim.TakeOver(seen, frame);
    if (is_claimed) {
      remote_claim::Repair(heap);
      break;
    }
  }
  if (is_claimed) {
    heap->Trim();
    AOMALLOC_CHECK(heap->IsValid());
  }
  Release(heap, frame);
  NoteFree(heap);
}

// Claims a heap that nobody held: for an operation of a thread that ends. If it
// is abandoned, the heap stays this thread's.
Heap* ClaimAlone(const ClaimFrame& frame) {
  const AO_t with = ThisThread();
  Heap* heap;
  while ((heap = AcquireFree(with, frame)) != nullptr) {
    heap = WithNewToken(heap, with);
    if (heap != nullptr && Claim(heap, frame)) return heap;
  }
  heap = WithNewToken(AddHeaps(with), with);
  return heap != nullptr && Claim(heap, frame) ? heap : nullptr;
}

void AtThreadExit(void*) {
  ending = true;
  CompilerBarrier();
  ReleaseHeaps();
}

// Makes AtThreadExit run when this thread ends.
void RegisterExit() {
  // Acquire, here and below: the C library's record of the key, which another
  // thread may have made, is there for pthread_setspecific.
  AO_t key = LoadAcquire(&exit_key);
  if (key == 0) {
    pthread_key_t made;
    if (pthread_key_create(&made, AtThreadExit) != 0) return;
    // Full; its release is needed: it publishes that record with the key.
    if (!CasFull(&exit_key, 0, static_cast<AO_t>(made) + 1)) {
      pthread_key_delete(made);
    }
    key = LoadAcquire(&exit_key);
  }
  pthread_setspecific(static_cast<pthread_key_t>(key - 1), &current);
}

}  // namespace

__thread Heap* current = nullptr;
AtomicWord nested_entries = 0;

AO_t ThisThread() {
  // A handler that forks here may already have set the token of the child.
  if (token == 0) CasRelaxed(&token, 0, TokenWith(0));
  return token;
}

Heap* ClaimHeap(const ClaimFrame& frame) {
  RecordId(/*urgent=*/false);
  if (Unlikely(ending)) return ClaimAlone(frame);
  Heap* heap = resting;
  if (Unlikely(heap != nullptr)) {
    if (ClaimResting(heap, frame)) return heap;
    DoubtVisitor(heap, frame);
  }
  heap = current;
  if (heap != nullptr) {
    if (ClaimOrTakeOver(heap, frame)) return heap;
    AddRelaxed(&nested_entries, 1);
    Doubt(heap);
    DoubtVisitor(heap, frame);
  }
  // A handler may claim the heap that we acquire before we do. It gives the
  // heap back, or keeps it if it switched stacks. Then we acquire another one.
  while ((heap = ClaimListed(frame)) == nullptr) {
    // What an operation visits, which was interrupted, must not become the
    // current heap.
    const bool none_is_visited = unlisted == 0;
    if (none_is_visited || current != nullptr) heap = ClaimUnlisted(frame);
    if (heap != nullptr && none_is_visited) break;
    if (heap != nullptr) return heap;
    if (!Acquire(frame)) return ClaimUnlisted(frame);
  }
  if (current == nullptr) {
    current = heap;
    RegisterExit();
  }
  return heap;
}

void Unclaim(Heap* heap, const ClaimFrame& frame) {
  // The current heap of a thread that ends is released by ReleaseHeaps. All
  // others that it claims are from ClaimAlone.
  if (Unlikely(ending) && heap != current) {
    heap->SendForeign();
    heap->runs(/*mapped=*/true).GiveUp();
    heap->runs(/*mapped=*/false).GiveUp();
    Release(heap, frame);
  } else {
    heap->claim.Release();
  }
}

bool TakeBack(Heap* heap, const ClaimFrame& frame) {
  if (ClaimWord::IsRemote(heap->claim.Peek()) && TakeOver(heap, frame)) {
    remote_claim::Repair(heap);
    return true;
  }
  frame.Erase();
  return false;
}

Visit::Visit(Heap* heap, const ClaimFrame& frame, Heap* from)
    : heap_(heap), frame_(frame), from_(from) {
  if (IsHeld(heap)) {
    if (ClaimIfHeld(heap, frame)) kind_ = Kind::kHeld;
  } else if (LoadRelaxed(&heap->holder) == 0) {
    Unlisted::Count(1);
    if (ClaimIdle(heap, frame)) {
      kind_ = Kind::kIdle;
    } else {
      Unlisted::Count(~AO_t{0});
    }
  } else if (from != nullptr && memory::MmapEnabled() && WouldBeFound()) {
    if (remote_claim::Begin(from, heap)) {
      kind_ = Kind::kRemote;
    } else {
      VisitorIsDoubted(heap, frame);
    }
  }
}

Visit::~Visit() {
  if (kind_ == Kind::kHeld) heap_->claim.Release();
  if (kind_ == Kind::kRemote) remote_claim::End(from_);
  if (kind_ != Kind::kIdle) return;
  Release(heap_, frame_);
  Unlisted::Count(~AO_t{0});
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

void ReleaseHeaps() {
  AO_t first;
  while ((first = held) != 0) {
    Heap* heap = AsHeap(first);
    // Repeated if a handler has put another heap on the list.
    if (CasRelaxed(&held, first, reinterpret_cast<AO_t>(heap->next_held)) &&
        IsHeld(heap)) {
      ReleaseHeld(heap);
    }
  }
  if (!HasUnlisted()) return;
  for (Heap* heap = Registry(); heap != nullptr; heap = Next(heap)) {
    if (IsHeld(heap)) ReleaseHeld(heap);
  }
}

}  // namespace aomalloc::thread
