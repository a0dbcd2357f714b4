#include "core/heap/heap.h"

#include <new>

#include "core/arena/memory.h"
#include "core/arena/purge.h"
#include "core/arena/tails.h"
#include "core/base/check.h"
#include "core/base/os.h"
#include "core/base/os_memory.h"
#include "core/base/probe.h"
#include "core/heap/hardened_blocks.h"
#include "core/heap/mending.h"
#include "core/heap/misuse.h"

namespace aomalloc {
namespace {

// If a program uses no more than the beginning of each block, it uses at least
// every third page of a slab that is full of blocks of at most this size. (If
// they have at most a page, it uses all.)
constexpr size_t kMaxDense = 12288;
// A slab of larger blocks than this counts as dense only after some others of
// its class were full: each of many threads may have a few of them.
constexpr size_t kMaxDenseAtOnce = 1024;
constexpr uint8_t kFullSlabs = 16;
// The same for blocks of more than a page. Of these a slab that goes back is
// counted off again.
constexpr size_t kMaxDenseSoon = 4096;
constexpr uint8_t kManyFullSlabs = 64;
// In the static heap a class of which kFullSlabs were full takes slabs of so
// many bytes, if it usually takes shorter ones: else malloc goes from slab to
// slab. All have the same length, so that a slab of any class can follow one of
// another. They leave too little room for large blocks in a small heap, and
// once a quarter of a larger one is in use.
constexpr size_t kLong = 8 * memory::kStaticUnitBytes;
constexpr size_t kLeastForLong = size_t{8} << 20;

// Where memory may be mapped, no slab is longer than usual.
bool HasRoomForLong() {
  const size_t bytes = memory::StaticHeapBytes();
  return !memory::MmapEnabled() && bytes >= kLeastForLong &&
         memory::UsedBytes() < bytes / 4;
}

}  // namespace

Run Heap::no_slab_;

// The hardened build's Free.
void Heap::FreeByQuarantine(Run* slab, Block* block) {
  block->LinkTo(nullptr);
  if (slab::BlockSize(slab) <= Quarantine::kMaxBlockBytes) {
    block = quarantine_.Exchange(block);
    if (block == nullptr) return;
    slab = memory::RunAt(block);
  }
  FreeForGood(slab, block);
}

void Heap::FreeForGood(Run* slab, Block* block) {
  if (!slab::IsFree(slab, block) || !block->IsWhole()) {
    Misuse("free", block, fault::kWritten);
  }
  if (slab::Push(&slab->list, block)) OnZero(slab);
}

void Heap::EndQuarantine() {
  while (Block* block = quarantine_.Release()) {
    FreeForGood(memory::RunAt(block), block);
  }
}

void Heap::Prepare() {
  hardening::Start();
  EmptyLists();
  filled_ = kNumClasses;
  Commit(&prepared_, true);
}

void Heap::EmptyLists() {
  for (int i = 0; i < kNumClasses; ++i) {
    head_[i] = &no_slab_;
    aside_[i] = nullptr;
    serving_[i] = sampler_ == nullptr ? &no_slab_.list : sampler_->ration(i);
  }
  look_at_ = nullptr;
}

void Heap::StartSampling() {
  void* memory = profile::TakeMemory(sizeof(Sampler));
  if (memory == nullptr) return;
  Mending mending(&mending_);
  const uint64_t seed = reinterpret_cast<uintptr_t>(memory) ^
                        (os::CoarseMilliseconds() << 20) ^ os::ProcessId();
  auto* sampler = new (memory) Sampler(seed);
  for (int i = 0; i < kNumClasses; ++i) serving_[i] = sampler->ration(i);
  Commit(&sampler_, sampler);
}

// Makes malloc pop from `list`, unless it pops from rations.
void Heap::Serve(SizeClass size_class, FreeList* list) {
  if (sampler_ == nullptr) serving_[size_class] = list;
}

// Takes a block from `list`, which has at most `count`, or from a ration that
// is made of that list.
Block* Heap::TakeFrom(SizeClass size_class, FreeList* list, int count) {
  return sampler_ == nullptr ? slab::Pop(list)
                             : sampler_->Ration(size_class, list, count);
}

// Counts that the head of the class is full, and takes it off its list.
void Heap::RetireHead(SizeClass size_class) {
  filled_ = size_class;
  if (full_[size_class] < kManyFullSlabs) ++full_[size_class];
  Retire(head_[size_class]);
}

Block* Heap::PopFromNext(SizeClass size_class) {
  const Run* head = head_[size_class];
  Run* next = head->next;
  if (next == nullptr || next->list.free == nullptr ||
      head->list.free != nullptr || head->carved != head->capacity ||
      head->purged_pages != 0 || serving_[size_class] != &head->list ||
      foreign_.Kept(size_class)->free != nullptr || inbox_.IsTaken() ||
      HasRemote()) {
    return nullptr;
  }
  probe::Refill(this, ClassSize(size_class));
  Mending mending(&mending_);
  foreign_.KeepMore(size_class);
  RetireHead(size_class);
  return slab::Pop(&next->list);
}

Block* Heap::Refill(SizeClass size_class) {
  probe::Refill(this, ClassSize(size_class));
  Mending mending(&mending_);
  if (Block* block = PopForeign(size_class)) return block;
  foreign_.KeepMore(size_class);
  Drain();
  while (true) {
    Run* head = head_[size_class];
    if (head == &no_slab_) {
      if (!Readmit(size_class)) return nullptr;
      continue;
    }
    if (DropIfDamaged(&head->list)) has_lost_ = true;
    if (sampler_ != nullptr && Sampler::IsShort(slab::Free(head))) {
      slab::Carve(head);  // or malloc would soon be here again
    }
    if (head->list.free != nullptr || slab::Carve(head) ||
        slab::CarvePage(head)) {
      AOMALLOC_CHECK(slab::IsValid(head));
      return TakeFrom(size_class, &head->list, slab::Free(head));
    }
    RetireHead(size_class);
  }
}

Block* Heap::Grow(SizeClass size_class) {
  Mending mending(&mending_);
  const uint32_t grown = grown_;
  Run* slab = TakeSlab(size_class);
  if (slab == nullptr) return nullptr;
  probe::NewSlab(this, slab->base, slab::BlockSize(slab));
  if (slab->list.free == nullptr) slab::Carve(slab);
  Link(slab);
  // This is the slow path, so the blocks in the outbox may as well go home.
  foreign_.Send();
  if (grown_ != grown) PurgeIdle();
  return TakeFrom(size_class, &slab->list, slab::Free(slab));
}

void Heap::OnZero(Run* slab) {
  Mending mending(&mending_);
  if (slab->listed) Unlink(slab);
  // It is below 0 if an operation that had to come here was abandoned.
  const int in_use = slab::InUse(slab);
  if (in_use <= 0) {
    Discard(slab, /*keeps=*/fallen_ < kFall);
    if (++fallen_ >= kFall && purge::HasPurged()) OnFall();
    return;
  }
  slab::Split(slab, in_use, in_use);
  Link(slab);
  AOMALLOC_CHECK(slab::IsValid(slab));
}

void Heap::SetHead(SizeClass size_class, Run* slab) {
  if (serving_[size_class] != foreign_.Kept(size_class)) {
    Serve(size_class, &slab->list);
  }
  head_[size_class] = slab;
}

// Makes `slab`, the first on its list, the one that malloc allocates from.
void Heap::MakeHead(SizeClass size_class, Run* slab) {
  const int in_use = slab::InUse(slab);
  slab::Split(slab, in_use, in_use + 1);
  SetHead(size_class, slab);
}

// Puts a slab with free blocks on its list, behind the head: the head's memory
// is likely to be in the cache.
void Heap::Link(Run* slab) {
  Run* head = head_[slab->size_class];
  slab->listed = true;
  slab->prev = nullptr;
  slab->next = nullptr;
  if (head == &no_slab_) return MakeHead(slab->size_class, slab);
  slab->prev = head;
  slab->next = head->next;
  if (head->next != nullptr) head->next->prev = slab;
  head->next = slab;
}

void Heap::Unlink(Run* slab) {
  if (slab->prev != nullptr) slab->prev->next = slab->next;
  if (slab->next != nullptr) slab->next->prev = slab->prev;
  if (look_at_ == slab) look_at_ = slab->next;
  if (aside_[slab->size_class] == slab) aside_[slab->size_class] = slab->next;
  if (head_[slab->size_class] == slab) {
    if (slab->next != nullptr) {
      MakeHead(slab->size_class, slab->next);
    } else {
      SetHead(slab->size_class, &no_slab_);
    }
  }
  slab->listed = false;
}

// Takes a slab without a free block off its list.
void Heap::Retire(Run* slab) {
  if (slab->listed) Unlink(slab);
  const int in_use = slab::InUse(slab);
  // Abandoned operations have lost all its blocks. Nobody will free one.
  if (in_use <= 0) return Discard(slab);
  const int worthwhile = slab::Worthwhile(slab);
  slab::Split(slab, in_use, worthwhile < in_use ? worthwhile : in_use);
}

// True if all pages of the next slab of this class are likely to be used. A
// slab that follows a full one is likely to be filled too. But of larger blocks
// a program may use the beginning only, and so not every page.
bool Heap::IsLikelyFilled(SizeClass size_class) const {
  const size_t size = ClassSize(size_class);
  const int least = size <= kMaxDenseAtOnce ? 0
                    : size <= kMaxDenseSoon ? kFullSlabs
                                            : kManyFullSlabs;
  return filled_ == size_class && size <= kMaxDense &&
         full_[size_class] >= least;
}

Run* Heap::TakeSlab(SizeClass size_class) {
  const size_t least = slab::LeastStaticBytes(size_class);
  // If a block is larger than a page, the first few slabs are short.
  const bool is_short =
      ClassSize(size_class) > memory::kStaticUnitBytes && IsFew(size_class);
  const size_t usual = is_short ? least : slab::StaticBytes(size_class);
  const bool is_long = full_[size_class] >= kFullSlabs && usual < kLong &&
                       kLong % ClassSize(size_class) <= kLong / 16 &&
                       HasRoomForLong();
  size_t static_bytes = is_long ? kLong : usual;
  Run* slab = memory::MmapEnabled()
                  ? mapped_runs_.Take(1)
                  : static_runs_.Take(static_bytes / memory::kStaticUnitBytes);
  // In a fall only runs of heads are kept: to take one again is no growth.
  if (slab == nullptr || fallen_ < kFall) fallen_ = 0;
  const bool is_kept = slab != nullptr;
  if (is_kept) {
    tails::Forget(slab);
  } else {
    memory::Grant grant;
    const bool dense = IsLikelyFilled(size_class);
    while ((grant = memory::Take(
                {memory::kMappedUnitBytes, static_bytes, 1, dense}))
               .run == nullptr) {
      // Where there is no room for many pages, there may be room for a few.
      if (static_bytes == least) return nullptr;
      static_bytes = static_bytes > usual ? usual : least;
    }
    slab = grant.run;
    if (grant.zeroed) ++grown_;
    // Then one system call costs less than a fault for each page. (If the page
    // is a huge one that is there already, the call costs little.) But of
    // blocks of more than a page, small pages may stay untouched.
    if (dense && grant.zeroed && grant.arena->mapped() &&
        (ClassSize(size_class) <= kMaxDenseSoon || memory::IsHuge(slab))) {
      os::Populate(grant.address(), memory::kMappedUnitBytes);
    }
  }
  const size_t bytes = memory::BytesOf(slab);
  hardened::WipeSlab(slab, bytes);
  for (uint32_t i = 1; i < slab->units; ++i) {
    slab[i].units = i;
    slab[i].kind = RunKind::kInterior;
  }
  if (!is_kept || !slab::Revive(slab, size_class)) {
    slab::Init(slab, bytes, size_class);
  }
  slab->kind = RunKind::kSlab;
  // Commits: from here on the slab is ours, and Repair finds it by this word.
  // Release: the descriptor is complete before. Only a later operation of this
  // thread relies on that, or one of a thread that has taken the heap over. All
  // others read the word relaxed (owner.h).
  StoreRelease(&slab->owner, WordOf(this));
  return slab;
}

// Gives back a slab that is empty and on no list. `keeps`: its run may be kept.
void Heap::Discard(Run* slab, bool keeps) {
  AOMALLOC_CHECK(!slab->listed && slab::InUse(slab) <= 0);
  uint8_t& full = full_[slab->size_class];
  if (slab::BlockSize(slab) > kMaxDenseSoon && full != 0) --full;
  drained_[slab->size_class] += slab->drained;
  // Commits: Repair does not find the slab any more. Release: what the heap has
  // counted of the slab comes before, for the same operations as in TakeSlab.
  slab->drained = 0;
  StoreRelease(&slab->owner, 0);
  // The free list stays for slab::Revive, if surely all blocks are on it.
  if (slab->purged_pages != 0 || has_lost_) slab->carved = 0;
  slab->carved_steps = 0;
  for (uint32_t i = 1; i < slab->units; ++i) slab[i].kind = RunKind::kFree;
  if (keeps && runs(memory::IsMapped(slab)).Keep(slab)) {
    return memory::PurgeIfPending(slab);
  }
  memory::Return(slab, /*dirty=*/true);
}

void Heap::Drain() {
  if (!inbox_.IsTaken() && !HasRemote()) return;
  Mending mending(&mending_);
  inbox_.Take();
  DrainTaken();
}

void Heap::DrainTaken() {
  probe::Drain(this);
  Inbox::Arrival arrival;
  while ((arrival = inbox_.Next()).block != nullptr) {
    Owner* owner = OwnerOf(arrival.slab);
    if (owner == this) {
      ++arrival.slab->drained;
      FreeSlowly(arrival.slab, arrival.block);
    } else {
      raided_bytes_ += slab::BlockSize(arrival.slab);
      foreign_.AddRaided(owner, arrival.slab, arrival.block);
    }
  }
}

void Heap::Raid(Heap* victim) {
  Drain();
  Mending mending(&mending_);
  inbox_.Raid(&victim->inbox_);
  DrainTaken();
  foreign_.Send();
}

// A kept block of another heap. Malloc then goes on with the kept blocks. Null
// if there is none; then malloc goes on with the head.
Block* Heap::PopForeign(SizeClass size_class) {
  FreeList* list = foreign_.Kept(size_class);
  DropIfDamaged(list);
  if (list->free == nullptr) {
    list->used = 0;
    Serve(size_class, &head_[size_class]->list);
    return nullptr;
  }
  Serve(size_class, list);
  return TakeFrom(size_class, list, -list->used);
}

// Frees what is left of a ration.
void Heap::EndRation(SizeClass size_class) {
  while (Block* block = sampler_->TakeBack(size_class)) {
    Run* slab = memory::RunAt(block);
    Owner* owner = OwnerOf(slab);
    if (owner == this) {
      Free(slab, block);
    } else {
      foreign_.Add(owner, slab, block);
    }
  }
}

void Heap::SendForeign() {
  Mending mending(&mending_);
  for (int i = 0; i < kNumClasses; ++i) {
    const auto size_class = static_cast<SizeClass>(i);
    Serve(size_class, &head_[i]->list);
    if (sampler_ != nullptr) EndRation(size_class);
  }
  foreign_.SendAll();
}

void Heap::Trim() {
  Mending mending(&mending_);
  Drain();
  SendForeign();
  EndQuarantine();
  for (Run* head : head_) {
    // A head that gets empty is not given back by the free of its last block.
    if (head == &no_slab_ || slab::InUse(head) > 0) continue;
    Unlink(head);
    Discard(head);
  }
  mapped_runs_.GiveUp();
  static_runs_.GiveUp();
}

void Heap::Repair() {
  if (!prepared_) Prepare();
  has_lost_ = true;
  mapped_runs_.Recount();
  static_runs_.Recount();
  inbox_.Repair();
  OnMissedZero();
  if (!mending_) return;
  RebuildLists();
  CompilerBarrier();
  mending_ = false;
  AOMALLOC_CHECK(IsValid());
}

void Heap::NoteMissedZero(Run* slab) {
  // A handler may miss another one.
  if (!CasRelaxed(&missed_zero_, 0, reinterpret_cast<AO_t>(slab))) {
    StoreRelaxed(&missed_zero_, kSeveral);
  }
}

// What was missed is done now, or all lists are to be rebuilt. What is noted
// meanwhile stays noted, or is seen when they are.
void Heap::OnMissedZero() {
  const AO_t missed = LoadRelaxed(&missed_zero_);
  if (missed == 0) return;
  if (missed == kSeveral || mending_) {
    Commit(&mending_, true);
    StoreRelaxed(&missed_zero_, 0);
    return;
  }
  Mending mending(&mending_);
  CasRelaxed(&missed_zero_, missed, 0);
  auto* slab = reinterpret_cast<Run*>(missed);
  // The slab may have been emptied and given back since.
  if (OwnerOf(slab) == this && slab->list.used <= 0) OnZero(slab);
}

void Heap::RebuildLists() {
  EmptyLists();
  Arena* arena;
  for (int i = 0; (arena = memory::ArenaAt(i)) != nullptr; ++i) {
    const size_t end = arena->end();
    for (size_t unit = 0; unit < end; ++unit) {
      Run* run = arena->table() + unit;
      if (OwnerOf(run) == this) Relist(run);
    }
  }
}

// Counts the blocks of a slab anew, and lists it, retires it or gives it back.
// Blocks that abandoned operations have lost count as in use.
void Heap::Relist(Run* slab) {
  const size_t free = slab::CountFree(slab);
  const int in_use =
      static_cast<int>(slab->carved - free) - slab::LeftOut(slab);
  slab->listed = false;
  slab::Split(slab, in_use, in_use);
  slab::UpdateSteps(slab);
  if (in_use == 0) {
    Discard(slab);
  } else if (slab->purged_pages != 0) {
    SetAside(slab);
  } else if (free == 0 && slab->carved == slab->capacity) {
    Retire(slab);
  } else {
    Link(slab);
  }
}

bool Heap::IsValid() const {
  if (!prepared_) return true;
  if (mending_) return false;
  bool valid = foreign_.IsValid(this);
  for (int i = 0; i < kNumClasses; ++i) {
    valid &= sampler_ != nullptr ? serving_[i] == sampler_->ration(i)
                                 : serving_[i] == foreign_.Kept(i) ||
                                       serving_[i] == &head_[i]->list;
    for (const Run* slab = aside_[i]; slab != nullptr; slab = slab->next) {
      if (!slab::IsValid(slab) || slab->size_class != i || !slab->listed ||
          OwnerOf(slab) != this || slab->beyond != 0 ||
          slab->purged_pages == 0 ||
          (slab->next != nullptr && slab->next->prev != slab)) {
        return false;
      }
    }
    if (head_[i] == &no_slab_) continue;
    // 0: it is to go with its last block (OnFall).
    const int beyond = head_[i]->beyond;
    if ((beyond != -1 && beyond != 0) || head_[i]->prev != nullptr) {
      return false;
    }
    for (const Run* slab = head_[i]; slab != nullptr; slab = slab->next) {
      if (!slab::IsValid(slab) || slab->size_class != i || !slab->listed ||
          OwnerOf(slab) != this ||
          (slab->next != nullptr && slab->next->prev != slab) ||
          (slab != head_[i] && slab->beyond != 0)) {
        return false;
      }
    }
  }
  return valid;
}

}  // namespace aomalloc
