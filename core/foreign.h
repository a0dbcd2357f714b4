// Blocks of other heaps, freed by this heap's thread. It keeps some for its own
// next mallocs, as far as these are likely to come; the rest goes home by way
// of the outbox. A kept block is still in use as far as its slab is concerned,
// so nobody need be told.
//
// Only blocks that share no cache line with a neighbour to speak of are kept,
// or two threads would come to write to one line. How many are kept of a class
// grows each time that malloc runs out of them: a thread that only frees keeps
// none.
//
// Who touches what: as with all of a heap, the operation that holds its claim,
// by plain loads and stores.
//
// Interruption: the lists are right at every instruction, as a slab's is; the
// numbers are hints. An operation that is abandoned loses the block in hand.
#ifndef AOMALLOC_CORE_FOREIGN_H_
#define AOMALLOC_CORE_FOREIGN_H_

#include "core/outbox.h"
#include "core/run.h"
#include "core/size_class.h"
#include "core/slab.h"

namespace aomalloc {

class ForeignBlocks {
 public:
  // Keeps a block of a slab of `owner`, or puts it in the outbox.
  void Add(Heap* owner, const Run* slab, Block* block) {
    AddWith(allowed_[slab->size_class], owner, slab, block);
  }

  // The same with a block that malloc is in dire need of. A thread may fall
  // asleep over what it keeps, so it is not much.
  void AddRaided(Heap* owner, const Run* slab, Block* block) {
    const size_t fit = kRaidedBytesOfClass / slab::BlockSize(slab);
    const size_t allowed = fit < 1 ? 1 : fit > kMostBlocks ? kMostBlocks : fit;
    AddWith(static_cast<int>(allowed), owner, slab, block);
  }

  // The blocks that are kept of a class; `used` is minus their number.
  FreeList* Kept(int size_class) { return &kept_[size_class]; }
  const FreeList* Kept(int size_class) const { return &kept_[size_class]; }

  // To be told when malloc has run out of blocks of a class, of kept ones too.
  void KeepMore(SizeClass size_class);

  // Sends what is in the outbox; or everything, and keeps nothing for now.
  void Send() { outbox_.Flush(); }
  void SendAll();

  // For reports, at any time: the bytes of blocks that are kept or still to be
  // sent.
  size_t Bytes() const;

  // True if what is kept are blocks of their class, and none of `heap`.
  bool IsValid(const Heap* heap) const;

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  void AddWith(int allowed, Heap* owner, const Run* slab, Block* block) {
    FreeList* list = &kept_[slab->size_class];
    if (list->used > -allowed) {
      slab::Push(list, block);
      block->BearWitness();
    } else {
      outbox_.Add(owner, block, slab::BlockSize(slab));
    }
  }

  // What may be kept, in all, also where memory is scarce, and of a class.
  static constexpr size_t kMostBytes = size_t{512} << 10;
  static constexpr size_t kMostScarceBytes = size_t{16} << 10;
  static constexpr size_t kMostBytesOfClass = size_t{32} << 10;
  static constexpr size_t kMostBlocks = 248;
  static constexpr size_t kRaidedBytesOfClass = 4096;

  FreeList kept_[kNumClasses] = {};
  Outbox outbox_;
  size_t allowed_bytes_ = 0;           // what allowed_ adds up to
  uint8_t allowed_[kNumClasses] = {};  // blocks that may be kept
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_FOREIGN_H_
