#include "core/inbox.h"

namespace aomalloc {

// Takes the list of `source`, in the role that has `mark` there.
void Inbox::TakeFrom(Inbox* source, AO_t mark) {
  List::State seen;
  do {
    seen = source->list_.Look();
    Commit(&noted_, seen);
    // Empty, perhaps since somebody else took it; the mark says it was not us.
    if (List::Head(seen) == nullptr) break;
    // Another push since: try again. The pushers make progress.
  } while (!source->list_.TakeAll(seen, mark));
  NoteTaken();
}

void Inbox::NoteTaken() {
  Commit(&taken_, List::Head(noted_));
  Commit(&noted_, List::State{0});
}

bool Inbox::LookAt(const RemoteBatch* batch) {
  const Run* slab = memory::RunAt(batch);
  if (batch->IsIntact() && slab != nullptr && slab::IsBlock(slab, batch) &&
      batch->count() <= RemoteBatch::Room(slab::BlockSize(slab))) {
    looked_at_ = batch;
    return true;
  }
  Commit<RemoteBatch*>(&taken_, nullptr);
  Misuse("free", batch, fault::kWritten);
  return false;
}

void Inbox::Take() {
  if (taken_ == nullptr && !IsEmpty()) TakeFrom(this, kOwnerMark);
}

void Inbox::Raid(Inbox* victim) {
  Commit(&victim_, victim);
  // Acquire: we continue where the last raider stopped.
  if (CasAcquire(&victim->raider_, 0, reinterpret_cast<AO_t>(this))) {
    TakeFrom(victim, kRaiderMark);
    StoreRelease(&victim->raider_, 0);
  }
  Commit<Inbox*>(&victim_, nullptr);
}

void Inbox::Repair() {
  if (noted_ != 0) {
    // Noted in Raid only by who is the raider.
    const List& list = victim_ == nullptr ? list_ : victim_->list_;
    const AO_t mark = victim_ == nullptr ? kOwnerMark : kRaiderMark;
    if (((list.Look() ^ noted_) & mark) != 0) NoteTaken();
    Commit(&noted_, List::State{0});
  }
  if (IsRaider()) StoreRelease(&victim_->raider_, 0);
  Commit<Inbox*>(&victim_, nullptr);
}

}  // namespace aomalloc
