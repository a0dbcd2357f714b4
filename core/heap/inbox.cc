#include "core/heap/inbox.h"

namespace aomalloc {

// Takes the list of `source`. `mark` is the one of our role there.
void Inbox::TakeFrom(Inbox* source, AO_t mark) {
  // What is pushed from here on may wait and count as taken, or the reverse,
  // until the next take.
  const size_t sent = source->sent_bytes();
  List::State seen;
  do {
    // TakeAll acquires what the pushers have written into the batches before
    // their release.
    seen = source->list_.Look();
    Commit(&noted_, seen);
    // The list is empty, perhaps because somebody else took it. Then the mark
    // says that we did not.
    if (List::Head(seen) == nullptr) break;
    // Repeated if a push came in between, or another take: somebody progresses.
  } while (!source->list_.TakeAll(seen, mark));
  StoreRelaxed(&source->taken_bytes_, sent);
  NoteTaken();
}

void Inbox::NoteTaken() {
  Commit(&taken_, List::Head(noted_));
  Commit(&noted_, List::State{0});
}

bool Inbox::LookAt(const RemoteBatch* batch) {
  // A link that was written to may lead anywhere.
  const Run* slab = memory::RunAt(batch);
  if (slab != nullptr && slab::IsBlock(slab, batch) && batch->IsIntact() &&
      batch->count() <= RemoteBatch::Room(slab::BlockSize(slab))) {
    __builtin_prefetch(batch->Next());
    left_ = batch->count();
    Commit(&looked_at_, batch);
    return true;
  }
  Commit<RemoteBatch*>(&taken_, nullptr);
  Misuse("free", batch, fault::kWritten);
  return false;
}

void Inbox::Take() {
  if (taken_ == nullptr && !IsEmpty()) TakeFrom(this, kOwnerMark);
}

int Inbox::Place() const {
  int place = 0;
  while (place < kRaiders && LoadRelaxed(&victim_->raiders_[place]) !=
                                 reinterpret_cast<AO_t>(this)) {
    ++place;
  }
  return place;
}

int Inbox::TakePlace() {
  int place = 0;
  // Acquire: our Look sees the list as the last raider in this place left it,
  // with its mark.
  while (place < kRaiders && !CasAcquire(&victim_->raiders_[place], 0,
                                         reinterpret_cast<AO_t>(this))) {
    ++place;
  }
  return place;
}

void Inbox::Raid(Inbox* victim) {
  Commit(&victim_, victim);
  const int place = TakePlace();
  if (place < kRaiders) {
    TakeFrom(victim, RaiderMark(place));
    // Release: the next raider in this place sees our take, and the mark that
    // it flipped.
    StoreRelease(&victim->raiders_[place], 0);
  }
  Commit<Inbox*>(&victim_, nullptr);
}

void Inbox::Repair() {
  const int place = victim_ == nullptr ? kRaiders : Place();
  if (noted_ != 0) {
    // With a `victim_` only a raider that has a place notes a state.
    const List& list = victim_ == nullptr ? list_ : victim_->list_;
    const AO_t mark = victim_ == nullptr ? kOwnerMark : RaiderMark(place);
    // Of this state only our mark matters, so it needs no order. What was taken
    // is read after the take that was abandoned.
    if (((list.Look() ^ noted_) & mark) != 0) NoteTaken();
    Commit(&noted_, List::State{0});
  }
  // Release: as in Raid.
  if (place < kRaiders) StoreRelease(&victim_->raiders_[place], 0);
  Commit<Inbox*>(&victim_, nullptr);
}

}  // namespace aomalloc
