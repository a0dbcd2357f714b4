#include "core/heap.h"

#include "core/memory.h"

namespace aomalloc {
namespace {

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

Block* Heap::Refill(SizeClass size_class) {
  Mending mending(&mending_);
  DrainChain();
  Run* head = head_[size_class];
  while (head->free == nullptr && !slab::Carve(head)) {
    if (head != &no_slab_) Retire(head);
    if (head_[size_class] == &no_slab_) {
      Run* slab = TakeSlab(size_class);
      if (slab == nullptr) return nullptr;
      Link(slab);
    }
    head = head_[size_class];
  }
  return slab::Pop(head);
}

// A free has brought `used` to 0 (slab.h).
void Heap::OnZero(Run* slab) {
  Mending mending(&mending_);
  if (!slab->listed) {
    // 1 stood for used_while_full; below 0 when abandoned frees went before.
    slab->used += slab->used_while_full - 1;
    if (slab->used <= 0) return Discard(slab);
    return Link(slab);
  }
  Unlink(slab);
  Discard(slab);
}

// Makes `slab` the one that malloc uses. It is first on its list.
void Heap::MakeHead(SizeClass size_class, Run* slab) {
  ++slab->used;
  slab->pinned = true;
  head_[size_class] = slab;
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
  if (slab->pinned) {
    slab->pinned = false;
    --slab->used;
    if (slab->next != nullptr) {
      MakeHead(slab->size_class, slab->next);
    } else {
      head_[slab->size_class] = &no_slab_;
    }
  }
  slab->listed = false;
}

// Takes the head, which is full, off its list.
void Heap::Retire(Run* slab) {
  Unlink(slab);
  // All its blocks lost by abandoned operations: nobody will free one.
  if (slab->used == 0) return Discard(slab);
  slab->used_while_full = static_cast<uint16_t>(slab->used);
  slab->used = 1;
}

Run* Heap::TakeSlab(SizeClass size_class) {
  const memory::Taken taken = memory::Take(
      {memory::kMappedUnitBytes, slab::StaticBytes(size_class), 1});
  Run* slab = taken.run;
  if (slab == nullptr) return nullptr;
  for (uint32_t i = 1; i < slab->units; ++i) {
    slab[i].units = i;
    slab[i].kind = RunKind::kInterior;
  }
  slab::Init(slab, taken.address(), slab->units * taken.arena->unit_bytes(),
             size_class);
  slab->kind = RunKind::kSlab;
  // From here on it is ours; Repair finds it by this word.
  StoreRelease(&slab->owner, reinterpret_cast<AO_t>(this));
  return slab;
}

// Gives back a slab that is empty and on no list.
void Heap::Discard(Run* slab) {
  StoreRelease(&slab->owner, 0);
  for (uint32_t i = 1; i < slab->units; ++i) slab[i].kind = RunKind::kFree;
  memory::Return(memory::ArenaOfRun(slab), slab, /*dirty=*/true);
}

void Heap::Drain() {
  if (draining_ == nullptr && !HasRemote()) return;
  Mending mending(&mending_);
  DrainChain();
}

void Heap::DrainChain() {
  if (draining_ == nullptr) {
    Block* head = remote_.Peek();
    do {
      if (head == nullptr) return;
      slab::Commit(&draining_, head);
      // Another push since: note the new head and try again. The pushers make
      // progress.
    } while (!remote_.TakeAll(head) && ((head = remote_.Peek()), true));
  }
  while (draining_ != nullptr) {
    Block* block = draining_;
    slab::Commit(&draining_, block->next);
    Free(memory::RunAt(block), block);
  }
}

void Heap::Trim() {
  Mending mending(&mending_);
  DrainChain();
  for (Run* head : head_) {
    // Pinned, it was not given back when its last block was freed.
    if (head == &no_slab_ || head->used != 1) continue;
    Unlink(head);
    Discard(head);
  }
}

void Heap::Repair() {
  if (draining_ != nullptr) {
    for (Block* b = remote_.Peek(); b != nullptr; b = b->next) {
      if (b == draining_) {
        draining_ = nullptr;  // it was noted, but never taken
        break;
      }
    }
  }
  if (!mending_) return;
  RebuildLists();
  CompilerBarrier();
  mending_ = false;
}

void Heap::RebuildLists() {
  for (Run*& head : head_) head = &no_slab_;
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
  slab->listed = false;
  slab->pinned = false;
  slab->used = static_cast<int32_t>(slab->carved - free);
  if (slab->used == 0) {
    Discard(slab);
  } else if (free == 0 && slab->carved == slab->capacity) {
    slab->used_while_full = static_cast<uint16_t>(slab->used);
    slab->used = 1;
  } else {
    Link(slab);
  }
}

bool Heap::IsValid() const {
  if (mending_) return false;
  for (int i = 0; i < kNumClasses; ++i) {
    if (head_[i] == &no_slab_) continue;
    if (!head_[i]->pinned || head_[i]->prev != nullptr) return false;
    for (const Run* slab = head_[i]; slab != nullptr; slab = slab->next) {
      if (!slab::IsValid(slab) || slab->size_class != i || !slab->listed ||
          LoadRelaxed(&slab->owner) != reinterpret_cast<AO_t>(this) ||
          (slab->next != nullptr && slab->next->prev != slab) ||
          (slab != head_[i] && slab->pinned)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace aomalloc
