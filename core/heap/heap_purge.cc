// Heaps: how free pages inside of their slabs are purged.
#include "core/arena/memory.h"
#include "core/arena/purge.h"
#include "core/base/os.h"
#include "core/base/os_memory.h"
#include "core/heap/heap.h"
#include "core/heap/mending.h"
#include "core/heap/slab_pages.h"

namespace aomalloc {
namespace {

// While a heap grows, it purges pages of slabs that lie idle: each time that it
// takes a slab of fresh memory, it looks at so many slabs at most, and follows
// the lists of so many. So this costs little beside the page faults of the new
// slab.
constexpr int kLooks = 16;
constexpr int kFollowed = 2;
// In `seen_in_use`: there was nothing to purge. The slab is passed over until
// the number of its blocks in use changes.
constexpr uint16_t kInVain = 0x8000;
// A slab lies idle if as many blocks are in use as when the heap last looked,
// and it has taken so many slabs of fresh memory since.
constexpr uint32_t kPatience = 32;
// While memory falls, the heads are looked at each time that so many slabs were
// given back, and pages are purged from so many on: 32 MiB.
constexpr uint32_t kFallStep = 32;
constexpr uint32_t kDeepFall = 512;
// Pages that are wanted again within so many milliseconds were purged in vain.
constexpr AO_t kSoonMs = 1000;
// Fewer pages are not worth the system call.
constexpr size_t kFewestPages = 4;

}  // namespace

// Puts a slab that is on no list among those that are set aside.
void Heap::SetAside(Run* slab) {
  Run* first = aside_[slab->size_class];
  slab->listed = true;
  slab->prev = nullptr;
  slab->next = first;
  if (first != nullptr) first->prev = slab;
  aside_[slab->size_class] = slab;
}

// Makes a slab that was set aside the head of its class, which has none. False
// if there is none.
bool Heap::Readmit(SizeClass size_class) {
  Run* slab = aside_[size_class];
  if (slab == nullptr) return false;
  NoteReadmitted();
  Unlink(slab);
  Link(slab);
  return true;
}

// Purges the free pages of a listed slab, and sets it aside, unless it is the
// head. False if nothing is done. If the caller does not insist, there must be
// some pages, and a huge page is broken only if half of it is free.
bool Heap::PurgeSlab(Run* slab, bool insists) {
  if (!memory::IsMapped(slab)) return false;
  const auto pages =
      static_cast<slab::Pages>(slab::FreePages(slab) & ~slab->purged_pages);
  const size_t fewest = insists ? 1 : kFewestPages;
  if (slab::CountPages(pages) < fewest ||
      !memory::MayPurgeParts(slab, insists)) {
    return false;
  }
  slab::LeaveOut(slab, pages);
  for (uint32_t left = pages; left != 0;) {
    const int first = __builtin_ctz(left);
    const int count = __builtin_ctz(~(left >> first));
    memory::PurgePart(
        slab->base + static_cast<size_t>(first) * slab::kPageBytes,
        static_cast<size_t>(count) * slab::kPageBytes);
    left &= left + (1u << first);
  }
  if (slab->purged_pages != 0 && slab != head_[slab->size_class]) {
    Unlink(slab);
    SetAside(slab);
  }
  return true;
}

bool Heap::PurgeList(Run* first) {
  bool purged = false;
  Run* next;
  for (Run* slab = first; slab != nullptr; slab = next) {
    next = slab->next;
    purged |= PurgeSlab(slab, /*insists=*/true);
  }
  return purged;
}

bool Heap::PurgePages() {
  if (os::PageSize() != slab::kPageBytes) return false;
  Mending mending(&mending_);
  bool purged = false;
  for (int i = 0; i < kNumClasses; ++i) {
    // Those that were set aside before come first.
    purged |= PurgeList(aside_[i]);
    if (head_[i] != &no_slab_) purged |= PurgeList(head_[i]);
  }
  return purged;
}

// Goes round all slabs that are listed, and not set aside. Null if it comes to
// the next class, which may have none.
Run* Heap::NextToLookAt() {
  Run* slab = look_at_;
  if (slab != nullptr) {
    look_at_ = slab->next;
    return slab;
  }
  look_in_ = static_cast<SizeClass>((look_in_ + 1) % kNumClasses);
  // The head is in use.
  if (head_[look_in_] != &no_slab_) look_at_ = head_[look_in_]->next;
  return nullptr;
}

void Heap::PurgeIdle() {
  if (os::PageSize() != slab::kPageBytes || purge::IsTold()) return;
  int followed = 0;
  for (int looks = 0; looks < kLooks && followed < kFollowed; ++looks) {
    Run* slab = NextToLookAt();
    if (slab == nullptr || slab == head_[slab->size_class] ||
        !slab::IsSparse(slab)) {
      continue;
    }
    const auto in_use = static_cast<uint16_t>(slab::InUse(slab));
    if ((slab->seen_in_use & ~kInVain) != in_use) {
      slab->seen_in_use = in_use;
      slab->seen_at = grown_;
    } else if ((slab->seen_in_use & kInVain) == 0 &&
               grown_ - slab->seen_at >= kPatience) {
      ++followed;
      if (!PurgeSlab(slab, /*insists=*/false)) slab->seen_in_use |= kInVain;
    }
  }
}

// Malloc allocates again from pages that were purged. If that was in a fall a
// moment ago, it takes twice as deep a one next time.
void Heap::NoteReadmitted() {
  if (purged_at_ == 0) return;
  const bool soon = os::CoarseMilliseconds() - purged_ms_ < kSoonMs;
  deep_ = soon ? 2 * purged_at_ : 0;
  purged_at_ = 0;
}

// To be called each time that a heap has given back a slab, from kFall on, if
// free memory was purged meanwhile: the program frees a peak, and may go
// silent. Pages of idle slabs are purged, as when the heap grows. Heads that
// are empty go back too, and the others with the last of their blocks.
void Heap::OnFall() {
  const bool is_deep = fallen_ >= kDeepFall && fallen_ >= deep_;
  if (is_deep) {
    ++grown_;
    // Twice as many as for a slab of fresh memory: no page fault is due here.
    PurgeIdle();
    PurgeIdle();
  }
  if (fallen_ % kFallStep != 0) return;
  if (is_deep) {
    purged_at_ = fallen_;
    purged_ms_ = os::CoarseMilliseconds();
  }
  // What is kept goes back, and the runs of heads are kept until the next time:
  // a class in which blocks come and go takes one again.
  mapped_runs_.GiveUp();
  for (Run* head : head_) {
    if (head == &no_slab_) continue;
    const int in_use = slab::InUse(head);
    if (in_use > 0) {
      // Or its frees would stay slow (slab::NoteFree).
      if (head->purged_pages != 0) continue;
      slab::Split(head, in_use, in_use);
    } else {
      Unlink(head);
      Discard(head);
    }
  }
}

}  // namespace aomalloc
