// Heaps: the slabs that one thread allocates from, by size class.
//
// Who touches what: Remote() may be called by anybody at any time; `holder` is
// the thread room's (thread.h). Everything else belongs to the operation that
// holds the claim, and is plain loads and stores.
//
// Interruption: the slabs (slab.h) are right at every instruction. The lists
// of slabs are not, while they are changed; `mending_` says so, and who takes
// the heap over rebuilds them from the descriptors. At most the block, or the
// empty slab, that the abandoned operation had in hand is lost.
#ifndef AOMALLOC_CORE_HEAP_H_
#define AOMALLOC_CORE_HEAP_H_

#include "core/claim.h"
#include "core/foreign.h"
#include "core/inbox.h"
#include "core/likely.h"
#include "core/run.h"
#include "core/run_cache.h"
#include "core/sampler.h"
#include "core/size_class.h"
#include "core/slab.h"

namespace aomalloc {

class alignas(64) Heap {
 public:
  // All zero, so that heaps in static storage cost nothing until they are used.
  constexpr Heap() = default;
  explicit Heap(Heap* next) : next_in_registry(next) { Prepare(); }
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  // --- With the claim.

  // What is left to be done for a heap that is all zero; nothing is lost when
  // it is done again. Everything below wants it.
  bool IsPrepared() const { return prepared_; }
  void Prepare();

  // A block from the list at hand; null when it has none left.
  Block* Pop(SizeClass size_class) { return slab::Pop(serving_[size_class]); }

  // A block from another list of this heap, after bringing remote frees home;
  // null when there is none.
  Block* Refill(SizeClass size_class);

  // The class to serve a request from whose class is `size_class`: another one
  // (LenderOf) for the first few while it has no slab.
  SizeClass ClassToServe(SizeClass size_class) {
    const SizeClass lender = LenderOf(size_class);
    if (lender == size_class || HasSlab(size_class) || !IsFew(size_class)) {
      return size_class;
    }
    return lender;
  }

  // True if the class has a slab at hand, be it full.
  bool HasSlab(SizeClass size_class) const {
    return head_[size_class] != &no_slab_;
  }

  // A block from a new slab; null when there is no memory for one.
  Block* Grow(SizeClass size_class);

  // Does what is to be done about a slab of this heap of which slab::Push has
  // said that `used` is 0.
  void OnZero(Run* slab);

  // Frees a block of a slab of this heap.
  void Free(Run* slab, Block* block) {
    if constexpr (hardening::kOn) return FreeByQuarantine(slab, block);
    if (Unlikely(slab::Push(&slab->list, block))) OnZero(slab);
  }

  // Frees a block of a slab of another heap.
  void FreeForeign(Heap* owner, const Run* slab, Block* block) {
    foreign_.Add(owner, slab, block);
  }

  // Brings remote frees home.
  void Drain();

  // Takes the remote frees of another heap, to allocate them.
  void Raid(Heap* victim);

  // Sends all blocks of other heaps home.
  void SendForeign();

  // Gives back slabs that are empty, kept runs and blocks of other heaps.
  void Trim();

  // When to take samples; null if there is no memory for it. Where there is a
  // profile, it is asked for each time that malloc finds its list empty.
  Sampler* sampler() {
    if (Unlikely(sampler_ == nullptr)) StartSampling();
    return sampler_;
  }

  // Free runs, of mapped memory or of the static heap.
  RunCache& runs(bool mapped) { return mapped ? mapped_runs_ : static_runs_; }

  // Puts right what an abandoned operation left undone.
  void Repair();

  // The invariants of the heap and its slabs.
  bool IsValid() const;

  // --- Without.

  // Frees the blocks from `first` to `last`, a chain, and those that are listed
  // in them: `bytes` in all.
  void Remote(RemoteBatch* first, RemoteBatch* last, size_t bytes) {
    inbox_.Push(first, last);
    inbox_.NoteSent(bytes);
  }
  // Frees one block, of `bytes`.
  void Remote(Block* block, size_t bytes);
  bool HasRemote() const { return !inbox_.IsEmpty(); }

  // For reports, at any time (Glance). Remote frees that came home to slabs of
  // this class which the heap has given back since; those that came home to the
  // slabs that it has are theirs to tell. Bytes that were sent here, ever; and
  // of other heaps' blocks, that it took from their inboxes, to send them once
  // more.
  size_t Drained(int size_class) const { return Glance(drained_[size_class]); }
  size_t sent_bytes() const { return inbox_.sent_bytes(); }
  size_t raided_bytes() const { return Glance(raided_bytes_); }
  const ForeignBlocks& foreign() const { return foreign_; }
  size_t RationBytes() const {
    const Sampler* sampler = Glance(sampler_);
    return sampler == nullptr ? 0 : sampler->Bytes();
  }

  AtomicWord holder = 0;  // the thread that holds the heap (thread.h), or 0
  ClaimWord claim;
  Heap* next_in_registry = nullptr;  // written before the heap is published

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  // Counts, and says whether a class has been asked for only a few times.
  bool IsFew(SizeClass size_class) {
    if (asked_[size_class] == kFew) return false;
    ++asked_[size_class];
    return true;
  }
  void FreeByQuarantine(Run* slab, Block* block);
  void FreeForGood(Run* slab, Block* block);
  void EndQuarantine();
  void EmptyLists();
  void StartSampling();
  void EndRation(SizeClass size_class);
  void Serve(SizeClass size_class, FreeList* list);
  Block* TakeFrom(SizeClass size_class, FreeList* list, int count);
  void Link(Run* slab);
  void Unlink(Run* slab);
  void Retire(Run* slab);
  void SetHead(SizeClass size_class, Run* slab);
  void MakeHead(SizeClass size_class, Run* slab);
  Block* PopForeign(SizeClass size_class);
  Run* TakeSlab(SizeClass size_class);
  void Discard(Run* slab);
  void DrainTaken();
  void RebuildLists();
  void Relist(Run* slab);

  // Stands in a list that is empty: full, so that malloc asks for a refill, and
  // never written.
  static Run no_slab_;

  static constexpr uint8_t kFew = 4;

  bool prepared_ = false;
  bool mending_ = false;  // the lists below are being changed
  // What malloc pops from: the list of head_, or kept blocks of other heaps; or
  // a ration of either.
  FreeList* serving_[kNumClasses] = {};
  Run* head_[kNumClasses] = {};
  ForeignBlocks foreign_;
  RunCache mapped_runs_;
  RunCache static_runs_;
  hardening::Quarantine quarantine_;  // of the hardened build
  SizeClass filled_ = 0;              // the last of which a slab was found full
  uint8_t asked_[kNumClasses] = {};   // see IsFew
  // For reports.
  size_t drained_[kNumClasses] = {};
  size_t raided_bytes_ = 0;
  Inbox inbox_;
  Sampler* sampler_ = nullptr;  // null while there is no profile
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_H_
