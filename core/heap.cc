#include "core/heap.h"

#include <string.h>

#include <new>

#include "core/check.h"
#include "core/memory.h"
#include "core/misuse.h"
#include "core/os.h"

namespace aomalloc {
namespace {

constexpr size_t kMaxPopulated = 1024;

// Sets a flag that an operation abandoned here leaves behind.
class Mending {
 public:
  explicit Mending(bool* flag) : flag_(flag), outer_(*flag) {
    *flag_ = true;
    CompilerBarrier();
  }
  ~Mending() {
    CompilerBarrier();
    *flag_ = outer_;
  }
  Mending(const Mending&) = delete;
  Mending& operator=(const Mending&) = delete;

 private:
  bool* flag_;
  bool outer_;
};

}  // namespace

Run Heap::no_slab_;

// Not inline in Free, which the plain build shares.
void Heap::FreeByQuarantine(Run* slab, Block* block) {
  block->LinkTo(nullptr);
  if (slab::BlockSize(slab) <= hardening::Quarantine::kMaxBlockBytes) {
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
  if constexpr (hardening::kOn) hardening::Start();
  EmptyLists();
  filled_ = kNumClasses;
  Commit(&prepared_, true);
}

void Heap::EmptyLists() {
  for (int i = 0; i < kNumClasses; ++i) {
    head_[i] = &no_slab_;
    serving_[i] = sampler_ == nullptr ? &no_slab_.list : sampler_->ration(i);
  }
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

// Has malloc pop from a list, unless it gets rations.
void Heap::Serve(SizeClass size_class, FreeList* list) {
  if (sampler_ == nullptr) serving_[size_class] = list;
}

// A block of a list that has at most `count`, or of a ration of them.
Block* Heap::TakeFrom(SizeClass size_class, FreeList* list, int count) {
  return sampler_ == nullptr ? slab::Pop(list)
                             : sampler_->Ration(size_class, list, count);
}

Block* Heap::Refill(SizeClass size_class) {
  Mending mending(&mending_);
  if (Block* block = PopForeign(size_class)) return block;
  foreign_.KeepMore(size_class);
  Drain();
  while (true) {
    Run* head = head_[size_class];
    if (head == &no_slab_) return nullptr;
    slab::DropIfDamaged(&head->list);
    if (sampler_ != nullptr && Sampler::IsShort(slab::Free(head))) {
      slab::Carve(head);  // rather than come here again for every few blocks
    }
    if (head->list.free != nullptr || slab::Carve(head)) {
      AOMALLOC_CHECK(slab::IsValid(head));
      return TakeFrom(size_class, &head->list, slab::Free(head));
    }
    filled_ = size_class;
    Retire(head);
  }
}

Block* Heap::Grow(SizeClass size_class) {
  Mending mending(&mending_);
  Run* slab = TakeSlab(size_class);
  if (slab == nullptr) return nullptr;
  slab::Carve(slab);
  Link(slab);
  // While there is something to do, blocks may as well get home.
  foreign_.Send();
  return TakeFrom(size_class, &slab->list, slab::Free(slab));
}

void Heap::OnZero(Run* slab) {
  Mending mending(&mending_);
  if (slab->listed) Unlink(slab);
  // Below 0 when an operation that should have come here was abandoned.
  const int in_use = slab::InUse(slab);
  if (in_use <= 0) return Discard(slab);
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

// Makes `slab` the one that malloc uses. It is first on its list.
void Heap::MakeHead(SizeClass size_class, Run* slab) {
  const int in_use = slab::InUse(slab);
  slab::Split(slab, in_use, in_use + 1);
  SetHead(size_class, slab);
}

// Puts a slab with free blocks on its list: behind the head, which is warm.
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
  if (head_[slab->size_class] == slab) {
    if (slab->next != nullptr) {
      MakeHead(slab->size_class, slab->next);
    } else {
      SetHead(slab->size_class, &no_slab_);
    }
  }
  slab->listed = false;
}

// Takes a slab that has no free block off the lists.
void Heap::Retire(Run* slab) {
  if (slab->listed) Unlink(slab);
  const int in_use = slab::InUse(slab);
  // All its blocks lost by abandoned operations: nobody will free one.
  if (in_use <= 0) return Discard(slab);
  const int worthwhile = slab::Worthwhile(slab);
  slab::Split(slab, in_use, worthwhile < in_use ? worthwhile : in_use);
}

Run* Heap::TakeSlab(SizeClass size_class) {
  const size_t least = slab::LeastStaticBytes(size_class);
  // Of blocks larger than a page the first few slabs are short ones.
  const bool is_short =
      ClassSize(size_class) > memory::kStaticUnitBytes && IsFew(size_class);
  size_t static_bytes = is_short ? least : slab::StaticBytes(size_class);
  Run* slab = memory::MmapEnabled()
                  ? mapped_runs_.Take(1)
                  : static_runs_.Take(static_bytes / memory::kStaticUnitBytes);
  if (slab == nullptr) {
    memory::Taken taken;
    while ((taken = memory::Take({memory::kMappedUnitBytes, static_bytes, 1}))
               .run == nullptr) {
      // Where there is no room for many pages, there may be for a few.
      if (static_bytes == least) return nullptr;
      static_bytes = least;
    }
    slab = taken.run;
    // A slab after a full one is likely to be filled too: one system call then
    // costs less than a fault for each page. Of larger blocks not every page
    // may be wanted.
    if (filled_ == size_class && ClassSize(size_class) <= kMaxPopulated &&
        taken.zeroed && taken.arena->mapped()) {
      os::Populate(taken.address(), memory::kMappedUnitBytes);
    }
  }
  const Arena* arena = memory::ArenaOfRun(slab);
  if constexpr (hardening::kOn) {
    memset(slab->base, 0, slab->units * arena->unit_bytes());
  }
  for (uint32_t i = 1; i < slab->units; ++i) {
    slab[i].units = i;
    slab[i].kind = RunKind::kInterior;
  }
  slab::Init(slab, slab->units * arena->unit_bytes(), size_class);
  slab->kind = RunKind::kSlab;
  // From here on it is ours; Repair finds it by this word.
  StoreRelease(&slab->owner, reinterpret_cast<AO_t>(this));
  return slab;
}

// Gives back a slab that is empty and on no list.
void Heap::Discard(Run* slab) {
  AOMALLOC_CHECK(!slab->listed && slab::InUse(slab) <= 0);
  drained_[slab->size_class] += slab->drained;
  slab->drained = 0;
  StoreRelease(&slab->owner, 0);
  slab->reciprocal = 0;
  for (uint32_t i = 1; i < slab->units; ++i) slab[i].kind = RunKind::kFree;
  Arena* arena = memory::ArenaOfRun(slab);
  if (runs(arena->mapped()).Keep(slab)) return memory::PurgeIfPending(slab);
  memory::Return(arena, slab, /*dirty=*/true);
}

void Heap::Drain() {
  if (!inbox_.IsTaken() && !HasRemote()) return;
  Mending mending(&mending_);
  inbox_.Take();
  DrainTaken();
}

void Heap::DrainTaken() {
  Inbox::Taken taken;
  while ((taken = inbox_.Next()).block != nullptr) {
    auto* owner = reinterpret_cast<Heap*>(LoadRelaxed(&taken.slab->owner));
    if (owner == this) {
      ++taken.slab->drained;
      Free(taken.slab, taken.block);
    } else {
      raided_bytes_ += slab::BlockSize(taken.slab);
      foreign_.AddRaided(owner, taken.slab, taken.block);
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

void Heap::Remote(Block* block, size_t bytes) {
  RemoteBatch* batch = RemoteBatch::Of(block, nullptr);
  Remote(batch, batch, bytes);
}

// A block of another heap, if malloc has not just come to their end.
Block* Heap::PopForeign(SizeClass size_class) {
  FreeList* list = foreign_.Kept(size_class);
  slab::DropIfDamaged(list);
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
    auto* owner = reinterpret_cast<Heap*>(LoadRelaxed(&slab->owner));
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
  if constexpr (hardening::kOn) EndQuarantine();
  for (Run* head : head_) {
    // A head is not given back when its last block is freed.
    if (head == &no_slab_ || slab::InUse(head) > 0) continue;
    Unlink(head);
    Discard(head);
  }
  mapped_runs_.GiveUp();
  static_runs_.GiveUp();
}

void Heap::Repair() {
  if (!prepared_) Prepare();
  mapped_runs_.Recount();
  static_runs_.Recount();
  inbox_.Repair();
  if (!mending_) return;
  RebuildLists();
  CompilerBarrier();
  mending_ = false;
  AOMALLOC_CHECK(IsValid());
}

void Heap::RebuildLists() {
  EmptyLists();
  Arena* arena;
  for (int i = 0; (arena = memory::ArenaAt(i)) != nullptr; ++i) {
    const size_t end = arena->committed_units();
    for (size_t unit = 0; unit < end; ++unit) {
      Run* run = arena->table() + unit;
      if (LoadRelaxed(&run->owner) == reinterpret_cast<AO_t>(this)) Relist(run);
    }
  }
}

// Recounts a slab and puts it on the list where it belongs.
void Heap::Relist(Run* slab) {
  const size_t free = slab::CountFree(slab);
  const int in_use = static_cast<int>(slab->carved - free);
  slab->listed = false;
  slab::Split(slab, in_use, in_use);
  if (in_use == 0) {
    Discard(slab);
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
    if (head_[i] == &no_slab_) continue;
    if (head_[i]->beyond != -1 || head_[i]->prev != nullptr) return false;
    for (const Run* slab = head_[i]; slab != nullptr; slab = slab->next) {
      if (!slab::IsValid(slab) || slab->size_class != i || !slab->listed ||
          LoadRelaxed(&slab->owner) != reinterpret_cast<AO_t>(this) ||
          (slab->next != nullptr && slab->next->prev != slab) ||
          (slab != head_[i] && slab->beyond != 0)) {
        return false;
      }
    }
  }
  return valid;
}

}  // namespace aomalloc
