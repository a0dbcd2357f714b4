#include "core/thread/remote_claim.h"

#include "core/arena/memory.h"
#include "core/base/os.h"

namespace aomalloc::remote_claim {
namespace {

// In `visit`, beside the address of a heap.
constexpr AO_t kInside = 1;
constexpr AO_t kNumber = ~AO_t{0} << ClaimFrame::kFirstMark;
static_assert(alignof(Heap) > (kInside | ClaimWord::kRemote));

// Not 0 once the system has refused a barrier.
AtomicWord is_refused;

Heap* VisitedBy(AO_t visit) {
  return reinterpret_cast<Heap*>(visit & ~(kNumber | kInside));
}

// The tag of a visit for `from`.
AO_t TagOf(const Heap* from, AO_t visit) {
  return reinterpret_cast<AO_t>(from) | ClaimWord::kRemote | (visit & kNumber);
}

bool HasBarrier() {
  return memory::MmapEnabled() && LoadRelaxed(&is_refused) == 0;
}

bool Barrier() {
  if (os::Barrier()) return true;
  StoreRelaxed(&is_refused, 1);
  return false;
}

}  // namespace

bool IsUnderWay(const Heap* heap, AO_t seen) {
  if ((seen & ClaimWord::kRemote) == 0) return false;
  if (!ClaimWord::IsRemote(seen)) return true;  // a sum
  const auto* from = reinterpret_cast<const Heap*>(ClaimFrame::Unmarked(seen) -
                                                   ClaimWord::kRemote);
  // Acquire: pairs with the release in End. This load cannot come before that
  // of `seen`, on which its address depends; so it is no older than the tag.
  const AO_t visit = LoadAcquire(&from->visit);
  return VisitedBy(visit) == heap && TagOf(from, visit) == seen;
}

bool Begin(Heap* from, Heap* heap) {
  if (!HasBarrier()) return false;
  const AO_t seen = heap->claim.Peek();
  if (seen != 0 && (!ClaimWord::IsRemote(seen) || IsUnderWay(heap, seen))) {
    return false;
  }
  const AO_t number = (from->visit & kNumber) + ~kNumber + 1;
  const AO_t visit = number | reinterpret_cast<AO_t>(heap);
  StoreRelaxed(&from->visit, visit);
  const AO_t tag = TagOf(from, visit);
  if (heap->claim.ClaimRemotely(seen, tag) && Barrier() &&
      heap->claim.Peek() == tag) {
    StoreRelaxed(&from->visit, visit | kInside);
    CompilerBarrier();
    return true;
  }
  End(from);
  return false;
}

void End(Heap* from) {
  // Release: whoever sees that the visit has ended sees what we did there.
  StoreRelease(&from->visit, from->visit & kNumber);
}

void Repair(Heap* heap) {
  const AO_t visit = heap->visit;
  Heap* visited = VisitedBy(visit);
  if (visited != nullptr) {
    // Before it was inside, the operation has changed nothing there.
    if ((visit & kInside) != 0) visited->Repair();
    End(heap);
  }
  heap->Repair();
}

}  // namespace aomalloc::remote_claim
