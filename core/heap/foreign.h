// Blocks of other heaps that this heap's thread has freed. The heap keeps some
// of them for its own next mallocs, as many as it is likely to need. The rest
// go home through the outbox. In its slab a kept block still counts as in use,
// so its owner need not know of it.
//
// Add keeps only blocks of a multiple of 64 bytes, or of 256 bytes and more.
// Smaller blocks share cache lines with their neighbours, and two threads would
// write to one line. How many blocks of a class may be kept grows each time
// that malloc runs out of them. So a thread that only frees keeps none.
//
// Who touches what: the operation that holds the heap's claim, by plain loads
// and stores. Reports read the counts at any time (Glance).
//
// Commit: a block is kept from slab::Push's store to the list on; slab::Pop's
// store to the list takes it off.
//
// Interruption: the lists are right at every instruction, as a slab's list is.
// The numbers are hints. An abandoned operation loses the block in hand or,
// while it sends, the batches of a lane (outbox.h).
#ifndef AOMALLOC_CORE_HEAP_FOREIGN_H_
#define AOMALLOC_CORE_HEAP_FOREIGN_H_

#include "core/arena/run.h"
#include "core/base/size_class.h"
#include "core/heap/outbox.h"
#include "core/heap/slab.h"

namespace aomalloc {

class ForeignBlocks {
 public:
  // Takes a freed block of a slab of `owner`: keeps it, or puts it in the
  // outbox. Returns what Outbox::Add returns.
  Owner* Add(Owner* owner, const Run* slab, Block* block) {
    return AddWith(allowed_[slab->size_class], owner, slab, block);
  }

  // The same for a block that a raid has taken (inbox.h), since malloc has no
  // other memory. Blocks of any class are kept, but few of each: the thread may
  // fall asleep and hold them back.
  void AddRaided(Owner* owner, const Run* slab, Block* block) {
    const size_t fit = kRaidedBytesOfClass / slab::BlockSize(slab);
    const size_t allowed = fit < 1 ? 1 : fit > kMostBlocks ? kMostBlocks : fit;
    AddWith(static_cast<int>(allowed), owner, slab, block);
  }

  // The kept blocks of a class. `used` is minus their number.
  FreeList* Kept(int size_class) { return &kept_[size_class]; }
  const FreeList* Kept(int size_class) const { return &kept_[size_class]; }

  // Called when malloc has run out of blocks of a class, kept ones included.
  // Allows more of them to be kept from now on.
  void KeepMore(SizeClass size_class);

  // Sends what is in the outbox.
  void Send() { outbox_.Flush(); }
  // Sends the kept blocks too, and keeps none until malloc runs out again.
  void SendAll();

  // For reports, at any time: the bytes of blocks that are kept or in the
  // outbox.
  size_t Bytes() const;

  // True if each kept block is of the class of its list, and none is of `heap`.
  bool IsValid(const Owner* heap) const;

 private:
  friend struct Layout;  // for debuggers (preload/layout.cc)

  Owner* AddWith(int allowed, Owner* owner, const Run* slab, Block* block) {
    FreeList* list = &kept_[slab->size_class];
    if (list->used > -allowed) {
      slab::Push(list, block);
      // The link may lead out of the slab.
      block->BearWitness();
      return nullptr;
    }
    return outbox_.Add(owner, block, slab::BlockSize(slab));
  }

  // Limits of what may be kept: in all, in all where memory is scarce, of a
  // class in bytes, of a class in blocks, and of a class by AddRaided.
  static constexpr size_t kMostBytes = size_t{512} << 10;
  static constexpr size_t kMostScarceBytes = size_t{16} << 10;
  static constexpr size_t kMostBytesOfClass = size_t{32} << 10;
  static constexpr size_t kMostBlocks = 248;
  static constexpr size_t kRaidedBytesOfClass = 4096;

  FreeList kept_[kNumClasses] = {};
  Outbox outbox_;
  size_t allowed_bytes_ = 0;           // sum over allowed_
  uint8_t allowed_[kNumClasses] = {};  // blocks that Add may keep
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_FOREIGN_H_
