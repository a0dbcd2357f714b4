#include "core/thread/remote_claim.h"

#include "core/base/barrier.h"

namespace aomalloc::remote_claim {
namespace {

// How many operations of the process may visit heaps at a time. A visit is
// short.
constexpr int kPlaces = 16;

// A tag has kRemote (claim.h) in its lowest bits; above them the place of the
// visitor, and the number of the visit. Numbers do not repeat: 2^56 visits, of
// some microseconds each, take thousands of years.
constexpr int kFirstPlaceBit = 4;
constexpr int kFirstNumberBit = 8;
constexpr AO_t kOneVisit = AO_t{1} << kFirstNumberBit;
constexpr AO_t kNumber = ~(kOneVisit - 1);
static_assert(ClaimFrame::kTagMask >> kFirstPlaceBit == 0);
static_assert(kPlaces << kFirstPlaceBit == kOneVisit);

// In `state`, beside the number of the visit.
constexpr AO_t kUnderWay = 1;

struct alignas(64) Place {
  AtomicWord state = 0;    // the number of the last visit, and kUnderWay
  AtomicWord heap = 0;     // Heap* that is visited then
  Heap* inside = nullptr;  // the same, while the visitor may change it; or null
};
Place places[kPlaces];

// Heap* from which the visitor in each place comes, or 0 if nobody is there.
AtomicWord visitors[kPlaces];

Heap* AsHeap(AO_t word) { return reinterpret_cast<Heap*>(word); }
AO_t AsWord(const Heap* heap) { return reinterpret_cast<AO_t>(heap); }

AO_t TagOf(int place, AO_t number) {
  return number | static_cast<AO_t>(place) << kFirstPlaceBit |
         ClaimWord::kRemote;
}
int PlaceOf(AO_t tag) {
  return static_cast<int>(tag >> kFirstPlaceBit) & (kPlaces - 1);
}

// Takes a place for `from`; kPlaces if there is none.
int TakePlace(const Heap* from) {
  int place = 0;
  // Acquire: the number is that of the last visit from there.
  while (place < kPlaces && (LoadRelaxed(&visitors[place]) != 0 ||
                             !CasAcquire(&visitors[place], 0, AsWord(from)))) {
    ++place;
  }
  return place;
}

// The place that `from` has; kPlaces if it has none.
int FindPlace(const Heap* from) {
  int place = 0;
  while (place < kPlaces && LoadRelaxed(&visitors[place]) != AsWord(from)) {
    ++place;
  }
  return place;
}

void Leave(int place) {
  Place* left = &places[place];
  Commit<Heap*>(&left->inside, nullptr);
  // Release: whoever sees that the visit has ended sees what was done there.
  StoreRelease(&left->state, left->state & kNumber);
  // Release: as TakePlace says.
  StoreRelease(&visitors[place], 0);
}

// True if anybody visits `heap`.
bool IsVisited(const Heap* heap) {
  for (const Place& place : places) {
    // Acquire: `heap` is that of this visit, or of a later one.
    if ((LoadAcquire(&place.state) & kUnderWay) != 0 &&
        LoadRelaxed(&place.heap) == AsWord(heap)) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool IsUnderWay(const Heap* heap, AO_t seen) {
  if ((seen & ClaimWord::kRemote) == 0) return false;
  // A sum does not say which visit is part of it. While it is there, nobody
  // begins another one.
  if (!ClaimWord::IsRemote(seen)) return IsVisited(heap);
  // Acquire: pairs with the release in Leave, and with that in Begin, which
  // hands on what earlier visitors from this place have done.
  return LoadAcquire(&places[PlaceOf(seen)].state) ==
         ((seen & kNumber) | kUnderWay);
}

bool Begin(const Heap* from, Heap* heap) {
  const AO_t seen = heap->claim.PeekForVisit();
  if (seen != 0 && (!ClaimWord::IsRemote(seen) || IsUnderWay(heap, seen))) {
    return false;
  }
  const int taken = TakePlace(from);
  if (taken == kPlaces) return false;
  Place* place = &places[taken];
  const AO_t number = (place->state & kNumber) + kOneVisit;
  StoreRelaxed(&place->heap, AsWord(heap));
  StoreRelease(&place->state, number | kUnderWay);
  const AO_t tag = TagOf(taken, number);
  const bool is_claimed = heap->claim.ClaimRemotely(seen, tag) &&
                          barrier::PassAll() && heap->claim.Peek() == tag;
  if (is_claimed) {
    Commit(&place->inside, heap);
  } else {
    Leave(taken);
  }
  return is_claimed;
}

void End(const Heap* from) { Leave(FindPlace(from)); }

Heap* VisitorOf(const Heap* heap) {
  const AO_t seen = heap->claim.PeekForVisit();
  if (!ClaimWord::IsRemote(seen) || !IsUnderWay(heap, seen)) return nullptr;
  return AsHeap(LoadRelaxed(&visitors[PlaceOf(seen)]));
}

void Repair(Heap* heap) {
  const int place = FindPlace(heap);
  if (place != kPlaces) {
    Heap* visited = places[place].inside;
    if (visited != nullptr) visited->Repair();
    Leave(place);
  }
  heap->Repair();
}

}  // namespace aomalloc::remote_claim
