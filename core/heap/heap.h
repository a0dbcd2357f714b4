// Heaps: the slabs that one thread allocates from, by size class.
//
// Who touches what: owner.h says it for the members of Owner. Everything else
// belongs to the operation that holds the claim, by plain loads and stores.
// Reports read some figures at any time (Glance).
//
// Commit: a slab belongs to the heap from the store to its descriptor's `owner`
// on, until the store of 0 there. The parts of a heap (slabs, inbox, outbox and
// so on) commit as their own headers say.
//
// Interruption: the slabs (slab.h) are right at every instruction. The lists of
// slabs are not right while they are changed. `mending_` is true then, and the
// operation that takes the heap over rebuilds the lists from the descriptors.
// An abandoned operation loses at most what it has in hand, which is one of
// these:
//
//   a block       while it allocates, frees, keeps, lists or drains one
//   new blocks    4096 bytes of them, or one larger block: slab::Carve
//   a run         an empty slab or a kept run: TakeSlab, Discard, run_cache.h
//   free blocks   those of one slab whose pages are purged: slab_pages.h
//   batches       up to 64 blocks, or 16 KiB and one block: outbox.h
//   a ration      up to 64 blocks or 16 KiB, whichever is more, with a heap
//                 profile: sampler.h
//   a sampler     its memory, with a heap profile: StartSampling
#ifndef AOMALLOC_CORE_HEAP_HEAP_H_
#define AOMALLOC_CORE_HEAP_HEAP_H_

#include "core/arena/run.h"
#include "core/base/likely.h"
#include "core/base/size_class.h"
#include "core/heap/foreign.h"
#include "core/heap/owner.h"
#include "core/heap/quarantine.h"
#include "core/heap/run_cache.h"
#include "core/heap/sampler.h"
#include "core/heap/slab.h"
#include "core/heap/slab_pages.h"

namespace aomalloc {

class alignas(64) Heap : public Owner {
 public:
  // All zero, so that heaps in static storage take no memory until they are
  // used.
  constexpr Heap() = default;
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  // --- For the operation that holds the claim.

  // Prepare sets up a heap that is all zero. An abandoned call is simply
  // repeated: nothing is lost. All functions below need a prepared heap.
  bool IsPrepared() const { return prepared_; }
  void Prepare();

  // A block from the list that serves the class. Null when that list is empty,
  // or when its first block is damaged.
  Block* Pop(SizeClass size_class) { return slab::Pop(serving_[size_class]); }

  // A block from another list of this heap, after draining the inbox. Null when
  // there is none. To be called when Pop has returned null. PopFromNext does
  // the same, by a shorter way, in the case that is most frequent where slabs
  // are small: the head is full, the next slab is not, and nothing else is to
  // be done. Otherwise it does nothing, and returns null.
  Block* Refill(SizeClass size_class);
  Block* PopFromNext(SizeClass size_class);

  // The class that serves a request whose own class is `size_class`. While a
  // class has no slab, its first few requests are served by another class
  // (LenderOf).
  SizeClass ClassToServe(SizeClass size_class) {
    const SizeClass lender = LenderOf(size_class);
    if (lender == size_class || HasSlab(size_class) || !IsFew(size_class)) {
      return size_class;
    }
    return lender;
  }

  // True if the class has a head slab, be it full.
  bool HasSlab(SizeClass size_class) const {
    return head_[size_class] != &no_slab_;
  }

  // A block from a new slab; null when there is no memory for one.
  Block* Grow(SizeClass size_class);

  // To be called when slab::Push has returned true for a slab of this heap:
  // gives the slab back if it is empty, or lists it again.
  void OnZero(Run* slab);

  // Frees a block of a slab of this heap.
  void Free(Run* slab, Block* block) {
    if constexpr (hardening::kOn) return FreeByQuarantine(slab, block);
    if (Unlikely(slab::Push(&slab->list, block))) OnZero(slab);
  }

  // The same, for a free that was not done on the fast path.
  void FreeSlowly(Run* slab, Block* block) {
    if (Unlikely(slab->carved_steps == 0)) slab::NoteFree(slab);
    Free(slab, block);
  }

  // Frees a block of a slab of another heap. Returns a heap whose inbox is
  // crowded by what this has sent, or null.
  Heap* FreeForeign(Owner* owner, const Run* slab, Block* block) {
    return static_cast<Heap*>(foreign_.Add(owner, slab, block));
  }

  // Drains the inbox: brings remote frees home to their slabs. What a raid took
  // there is kept, or goes to the outbox.
  void Drain();

  // Takes the remote frees of another heap, so that this one can allocate them.
  void Raid(Heap* victim);

  // Sends all blocks of other heaps home, and ends all rations.
  void SendForeign();

  // Drains the inbox, sends the blocks of other heaps home, and gives back
  // empty slabs and kept runs.
  void Trim();

  // Gives free pages inside of slabs back to the system. True if there were
  // any. Without mmap there are none.
  bool PurgePages();

  // Decides when samples are due. Null if there is no memory for it. To be
  // called only while there is a profile: each time that malloc finds its list
  // empty, and for each span.
  Sampler* sampler() {
    if (Unlikely(sampler_ == nullptr)) StartSampling();
    return sampler_;
  }

  // The kept free runs: of mapped memory, or of the static heap.
  RunCache& runs(bool mapped) { return mapped ? mapped_runs_ : static_runs_; }

  // Repairs what an abandoned operation left behind. To be called after its
  // claim was taken over.
  void Repair();

  // True if the heap and its slabs satisfy their invariants, or if the heap is
  // not prepared yet.
  bool IsValid() const;

  // To be called without the claim, by the heap's thread, when OnZero could not
  // be called because the heap was claimed, maybe by an operation of another
  // thread. Repair, which follows that one, sees to the slab.
  void NoteMissedZero(Run* slab);

  // --- For reports, at any time and without the claim (Glance).

  // The number of remote frees that came home to slabs of this class. Only
  // slabs that the heap has given back since are counted here; a slab that it
  // still has counts its own.
  size_t Drained(int size_class) const { return Glance(drained_[size_class]); }
  // The bytes of other heaps' blocks that this heap took from their inboxes.
  size_t raided_bytes() const { return Glance(raided_bytes_); }
  const ForeignBlocks& foreign() const { return foreign_; }
  // True if there are kept runs of mapped memory.
  bool KeepsRuns() const { return mapped_runs_.KeepsAny(); }
  // The bytes of blocks that wait in rations.
  size_t RationBytes() const {
    const Sampler* sampler = Glance(sampler_);
    return sampler == nullptr ? 0 : sampler->Bytes();
  }

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  // True for the first few requests of a class, which this counts.
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
  void RetireHead(SizeClass size_class);
  void SetHead(SizeClass size_class, Run* slab);
  void MakeHead(SizeClass size_class, Run* slab);
  Block* PopForeign(SizeClass size_class);
  bool IsLikelyFilled(SizeClass size_class) const;
  Run* TakeSlab(SizeClass size_class);
  void Discard(Run* slab, bool keeps = true);
  void DrainTaken();
  void OnMissedZero();
  void RebuildLists();
  void Relist(Run* slab);
  void SetAside(Run* slab);
  bool Readmit(SizeClass size_class);
  bool PurgeSlab(Run* slab, bool insists);
  bool PurgeList(Run* first);
  void NoteReadmitted();
  void OnFall();
  Run* NextToLookAt();
  void PurgeIdle();

  // Stands for a missing slab in head_ and serving_. It has no free block, so
  // malloc asks for a refill. It is never written.
  static Run no_slab_;

  static constexpr uint8_t kFew = 4;
  // If a heap gives back so many slabs, and takes none but those of heads that
  // it gave back, memory falls: 8 MiB.
  static constexpr uint32_t kFall = 128;
  static constexpr AO_t kSeveral = 1;

  // Not on the cache line of the inbox, which other threads write.
  alignas(64) bool prepared_ = false;
  bool mending_ = false;        // the lists below are being changed
  bool has_lost_ = false;       // perhaps free blocks of slabs: Repair, Refill
  AtomicWord missed_zero_ = 0;  // Run* whose OnZero was missed; kSeveral; or 0
  // The lists that malloc pops from, by class: the list of head_, the kept
  // blocks of other heaps, or a ration of either.
  FreeList* serving_[kNumClasses] = {};
  // The slabs that malloc allocates from, by class: each is the first of its
  // list.
  Run* head_[kNumClasses] = {};
  // Slabs with purged pages, by class. They are not on the lists above.
  Run* aside_[kNumClasses] = {};
  ForeignBlocks foreign_;
  RunCache mapped_runs_;
  RunCache static_runs_;
  Quarantine quarantine_;            // of the hardened build
  SizeClass filled_ = 0;             // the class whose head was last found full
  uint8_t full_[kNumClasses] = {};   // how often: see kFullSlabs
  uint8_t asked_[kNumClasses] = {};  // see IsFew
  // Of PurgeIdle: the slab to look at next, or null, and its class; and how
  // many slabs of fresh memory the heap has taken.
  Run* look_at_ = nullptr;
  SizeClass look_in_ = 0;
  uint32_t grown_ = 0;
  // Of OnFall: how many slabs the heap has given back since it last took one;
  // how many it must be for pages to be purged, if more than kDeepFall; how
  // many it was when that was last done, or 0 if none of these is in use again;
  // and when that was.
  uint32_t fallen_ = 0;
  uint32_t deep_ = 0;
  uint32_t purged_at_ = 0;
  AO_t purged_ms_ = 0;
  // For reports.
  size_t drained_[kNumClasses] = {};
  size_t raided_bytes_ = 0;
  Sampler* sampler_ = nullptr;  // null while there is no profile
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_HEAP_H_
