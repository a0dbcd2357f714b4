#include "test/stepper/scenarios.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <type_traits>

#include "test/stepper/book.h"
#include "test/stepper/shared.h"
#include "test/stepper/victim.h"

namespace stepper {
namespace {

// Class 2304 serves this; nothing else in these programs uses it before. A slab
// holds 28 of them, or 5 in the static heap, and they are carved one by one.
constexpr size_t kRare = 2200;

void* in;   // the block that the operation is about; not in the book
void* out;  // what it returned
void* blocks[128];
bool is_new;  // `out` is a new block, to be entered
size_t in_size;

// Functions that only some libraries have.
void* (*ao_malloc)(size_t);
void (*ao_free)(void*);
void (*ao_enable)();
void* (*operator_new)(size_t);
void (*operator_delete)(void*);

size_t SlabBlocks() { return mapped ? 28 : 5; }
// So many fill some slabs.
size_t Full() { return mapped ? 28 : 30; }
// So many frees have a slab that was full listed again.
size_t Worthwhile() { return 1; }
// A span, and what it grows to.
size_t Big() { return mapped ? 150000 : 40000; }
constexpr size_t kLong = 100000;  // more than a heap keeps of the static heap
size_t Bigger() { return mapped ? 250000 : 60000; }

void Fill(size_t size, size_t count) {
  for (size_t i = 0; i < count; ++i) blocks[i] = Take(size);
}

// Takes a block out of the book and marks its contents.
void Hold(void* ptr, size_t size) {
  Strike(ptr);
  memset(ptr, 0x5a, size);
  in = ptr;
  in_size = size;
}

void Warm(size_t size) { Give(Take(size)); }

// --- Setups.

void WarmUp() { Warm(64); }
void WarmAll() { Warm(64), Warm(kRare), Warm(Big()); }
void TakeSmall() { Hold(Take(64), 64); }
void TakeSmallFromPeer() {
  Warm(64);
  OnPeer([] { Hold(Take(64), 64); });
}
void TakeManyFromPeer() { OnPeer([] { Fill(kRare, 10); }); }
// This thread needs no such block, and so keeps none.
void GiveSomeOfPeer() {
  Warm(64);
  TakeManyFromPeer();
  Give(blocks[0]);
  Hold(blocks[1], kRare);
}
// As many as are sent at a time.
void GiveManyOfPeer() {
  Warm(64);
  TakeManyFromPeer();
  for (int i = 0; i < 7; ++i) Give(blocks[i]);
  Hold(blocks[7], kRare);
}
// Blocks of more heaps than an outbox has lanes.
constexpr int kOwners = 8;
pthread_barrier_t all_have_one;
void TakeOneOfEach() {
  Warm(64);
  pthread_t threads[kOwners];
  pthread_barrier_init(&all_have_one, nullptr, kOwners);
  for (int i = 0; i < kOwners; ++i) {
    pthread_create(&threads[i], nullptr, [](void* block) -> void* {
      *static_cast<void**>(block) = malloc(kRare);
      pthread_barrier_wait(&all_have_one);
      return nullptr;
    }, &blocks[i]);
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
}
void NeedAndHoldOneOfPeer() {
  Take(kRare);
  TakeManyFromPeer();
  Hold(blocks[0], kRare);
}
// Three blocks of the peer are kept, and none of this thread's own is left.
void KeepSomeOfPeer() {
  Fill(kRare, Full());
  TakeManyFromPeer();
  for (int i = 0; i < 3; ++i) Give(blocks[i]);
}
void UseUpSomeOfPeer() {
  KeepSomeOfPeer();
  for (int i = 0; i < 3; ++i) Take(kRare);
}
// One more, and the thread gets a heap to gather them.
void FreeWithoutHeap() {
  for (int round = 0; round < 2; ++round) {
    OnPeer([] { Fill(64, 100); });
    for (int i = 0; i < 100; ++i) Give(blocks[i]);
  }
  OnPeer([] { Hold(Take(64), 64); });
}
void TakeFew() { Fill(kRare, 1); }
void TakeSlabFull() { Fill(kRare, Full()); }
void TakeMoreThanSlab() { Fill(kRare, Full() + 1); }
void LeaveOneInNext() {
  Fill(kRare, Full() + 1);
  for (size_t i = 0; i < Worthwhile(); ++i) Give(blocks[i]);
  const size_t rest = SlabBlocks() - 1;
  for (size_t i = 0; i < rest; ++i) Take(kRare);
}
void HoldOneOfFull() {
  Fill(kRare, Full() + 1);
  for (size_t i = 1; i < Worthwhile(); ++i) Give(blocks[i]);
  Hold(blocks[0], kRare);
}
void HoldLastOfSlab() {
  Fill(kRare, Full() + 1);
  for (size_t i = 1; i < SlabBlocks(); ++i) Give(blocks[i]);
  Hold(blocks[0], kRare);
}
void LetPeerFree() {
  Fill(kRare, Full());
  OnPeer([] {
    for (size_t i = 0; i < 10; ++i) Give(blocks[3 * i]);
  });
}
void LetPeerEmptySlab() {
  Fill(kRare, 2 * SlabBlocks());
  OnPeer([] {
    for (size_t i = 0; i < SlabBlocks(); ++i) Give(blocks[i]);
    malloc_trim(0);  // sends them
  });
}
// Leaves more blocks on the list than the next ration takes.
void UseUpRation() {
  Fill(64, 100);
  for (int i = 0; i < 100; ++i) Give(blocks[i]);
  // Rations are of 128, of a list that had fewer.
  for (int i = 0; i < 28; ++i) Take(64);
}
void TakeSpan() { Warm(64), Hold(Take(Big()), Big()); }
void TakeSpanBeforeAnother() {
  void* span = Take(Big());
  Take(Big());
  Hold(span, Big());
}
void TakeMovableSpan() {
  void* span = Take(400000);
  Take(400000);
  Hold(span, 400000);
}
void TakeBiggerSpan() { Warm(64), Hold(Take(Bigger()), Bigger()); }
void DirtySpan() { Warm(64), Warm(Big()); }
void TakeLong() { Warm(64), Hold(Take(kLong), kLong); }
void DirtyLong() { Warm(64), Warm(kLong); }
void DirtyHuge() { Warm(64), Warm(2 << 20); }
void TakeHuge() { Warm(64), Hold(Take(2 << 20), 2 << 20); }
// Leaves a run for the heap's next slab.
void KeepSlab() {
  Fill(kRare, Full() + 1);
  for (size_t i = 0; i < Full(); ++i) Give(blocks[i]);
  Fill(kRare, Full() - 1);
}
// As many spans as a heap keeps, and one more to be freed.
void LeaveCacheFull() {
  constexpr size_t kSpans = 6;
  Fill(Big(), kSpans);
  for (size_t i = 1; i < kSpans; ++i) Give(blocks[i]);
  Hold(blocks[0], Big());
}
void FreeMuch() {
  Fill(kRare, Full() + 1);
  for (size_t i = 0; i < Full() + 1; ++i) Give(blocks[i]);
  Warm(Big());
}

void* TakeAndIdle(void* taken) {
  Take(64);
  static_cast<Event*>(taken)->Set();
  static Event never;
  never.Wait();
  return nullptr;
}

// As many threads as there are heaps without asking for memory.
void HoldFirstHeaps() {
  static bool held;
  if (held) return;
  held = true;
  OnPeer([] {
    for (int i = 0; i < 3; ++i) {
      Event taken;
      pthread_t thread;
      if (pthread_create(&thread, nullptr, TakeAndIdle, &taken) != 0) {
        Fail("pthread_create");
      }
      taken.Wait();
    }
  });
}

// Leaves remote frees in the heap of a thread that is no more.
void FreeToIdleHeap() {
  Warm(64);
  OnPeer([] {
    pthread_t thread;
    if (pthread_create(&thread, nullptr,
                       [](void*) -> void* {
                         Fill(kRare, Full());
                         return nullptr;
                       },
                       nullptr) != 0) {
      Fail("pthread_create");
    }
    pthread_join(thread, nullptr);
  });
  for (size_t i = 0; i < Full(); ++i) Give(blocks[i]);
}

// Uses the memory up.
void UseUp() {
  for (size_t size = 1 << 20; size >= 16; size /= 2) {
    while (malloc(size) != nullptr) {
    }
  }
}

// What is left is the blocks of a peer that does not stir.
void UseUpAndFeedPeer() {
  OnPeer([] { Fill(64, 100); });
  UseUp();
  for (int i = 0; i < 100; ++i) Give(blocks[i]);
}

// --- Preparations.

// Leaves more free memory than may stay for long, though not so much that it is
// purged at once, and lets the delay pass.
void LetPurgeFallDue() {
  void* spans[17];  // one more than a heap keeps
  for (void*& span : spans) span = malloc(65536);
  for (void* span : spans) free(span);
  const timespec delay = {0, 130 * 1000000};
  nanosleep(&delay, nullptr);
}

void LimitAddressSpace() {
  const rlimit limit = {rlim_t{4} << 30, rlim_t{4} << 30};
  setrlimit(RLIMIT_AS, &limit);
}

// --- Operations.

void Allocated(void* ptr) {
  out = ptr;
  is_new = true;
}
template <size_t kSize>
void Malloc() {
  Allocated(malloc(kSize));
}
void FreeOneOfEach() {
  for (int i = 0; i < kOwners; ++i) free(blocks[i]);
}
// So often that the clock is read.
void FreeMany() {
  for (int i = 0; i < 8; ++i) free(malloc(65536));
}
void MallocLong() { Allocated(malloc(kLong)); }
void CallocLong() { Allocated(calloc(1, kLong)); }
void MallocBig() { Allocated(malloc(Big())); }
void Malloc2M() { Allocated(malloc(2 << 20)); }
void MallocHuge() { Allocated(malloc(8 << 20)); }
void Free() { free(in); }
void CallocSmall() { Allocated(calloc(10, 20)); }
void CallocBig() { Allocated(calloc(1, Big())); }
template <size_t kSize>
void Realloc() {
  Allocated(realloc(in, kSize));
  if (in_size > kSize) in_size = kSize;
}
void ReallocBigger() { Allocated(realloc(in, Bigger())); }
void ReallocMoving() { Allocated(realloc(in, 800000)); }
void ReallocShrink() { Allocated(realloc(in, Big() + 16)); }
void Memalign() { Allocated(memalign(256, 200)); }
void MemalignPage() { Allocated(memalign(4096, 100)); }
void MemalignSpan() { Allocated(memalign(mapped ? 1 << 20 : 16384, 5000)); }
void PosixMemalign() {
  void* ptr = nullptr;
  if (posix_memalign(&ptr, 64, 100) != 0) ptr = nullptr;
  Allocated(ptr);
}
void UsableSize() {
  if (malloc_usable_size(in) < 64) Fail("usable size", in);
}
void AoMalloc() { Allocated(ao_malloc(64)); }
void AoFree() { ao_free(in); }
void New() { Allocated(operator_new(64)); }
void Delete() { operator_delete(in); }
void TrimAll() { malloc_trim(0); }
void Info() { mallinfo2(); }
void EnableMmapAndMalloc() { ao_enable(), Allocated(malloc(3000)); }
void MallocManySlow() {
  blocks[0] = malloc(kRare);
  blocks[1] = malloc(2400);
  blocks[2] = malloc(2700);
  blocks[3] = malloc(2900);
  blocks[4] = malloc(3200);
  blocks[5] = malloc(3700);
}

// --- After them.

void Keep() {
  if (out == nullptr && !may_run_out) Fail("the operation got no memory");
  if (is_new && out != nullptr) Enter(out, malloc_usable_size(out));
  is_new = false;
}

// The contents of the block must have moved with it.
void KeepContents() {
  const auto* bytes = static_cast<const unsigned char*>(out);
  size_t size = malloc_usable_size(out);
  if (size > in_size) size = in_size;
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != 0x5a) Fail("realloc lost contents", bytes + i);
  }
  Keep();
}

void KeepZeroed() {
  const auto* bytes = static_cast<const unsigned char*>(out);
  const size_t size = malloc_usable_size(out) < 1000 ? 200 : Big();
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != 0) Fail("calloc gave memory that is not zero", bytes + i);
  }
  Keep();
}

void KeepMany() {
  for (int i = 0; i < 6; ++i) Enter(blocks[i], malloc_usable_size(blocks[i]));
}

void GiveBack() { free(in); }

constexpr size_t kSpanLoss = 600 * 1024;

}  // namespace

unsigned environment;
bool mapped;

bool FindFunctions() {
  const auto find = [](auto* function, const char* name) {
    *function = reinterpret_cast<std::remove_reference_t<decltype(*function)>>(
        dlsym(RTLD_DEFAULT, name));
  };
  find(&ao_malloc, "AO_malloc");
  find(&ao_free, "AO_free");
  find(&ao_enable, "AO_malloc_enable_mmap");
  find(&operator_new, "_Znwm");
  find(&operator_delete, "_ZdlPv");
  return ao_malloc != nullptr && ao_free != nullptr && ao_enable != nullptr &&
         operator_new != nullptr && operator_delete != nullptr;
}

// clang-format off
const Scenario kScenarios[] = {
  {"malloc_fast", kBoth | kRations, 64, nullptr, WarmUp, Malloc<64>, Keep,
   {}, {"AllocateSlow"}, 0},
  {"malloc_carve", kBoth | kRations, kRare, nullptr, TakeFew, Malloc<kRare>, Keep,
   {"Heap6Refill", "slab5Carve"}, {"TakeSlab"}, 0},
  {"malloc_new_slab", kBoth | kRations, kRare, nullptr, WarmUp, Malloc<kRare>, Keep,
   {"TakeSlab", "slab4Init"}, {"Heap6Unlink"}, 0},
  {"malloc_retire", kBoth | kRations, kRare, nullptr, TakeSlabFull, Malloc<kRare>, Keep,
   {"TakeSlab", "Heap6Unlink"}, {}, 0},
  {"malloc_next_slab", kBoth | kRations, kRare, nullptr, LeaveOneInNext, Malloc<kRare>, Keep,
   {"Heap6Unlink"}, {"TakeSlab"}, 0},
  {"first_of_process", kBoth | kOnMain, 64, nullptr, nullptr, Malloc<64>, Keep,
   {"ClaimHeap", "TakeSlab"}, {}, 0},
  {"first_of_thread", kBoth | kRations, 64, nullptr, nullptr, Malloc<64>, Keep,
   {"ClaimHeap", "TakeSlab"}, {}, 0},
  {"first_adds_heaps", kBoth | kOursOnly, 64, nullptr, HoldFirstHeaps, Malloc<64>, Keep,
   {"ClaimHeap", "AddHeaps"}, {}, 0},
  {"malloc_drains", kBoth | kRations, kRare, nullptr, LetPeerFree, Malloc<kRare>, Keep,
   {"DrainTaken"}, {"TakeSlab"}, 0},
  {"malloc_drains_slab", kBoth, kRare, nullptr, LetPeerEmptySlab, Malloc<kRare>, Keep,
   {"DrainTaken", "Heap6OnZero"}, {}, 0},
  {"malloc_drains_idle", kBoth | kOursOnly, kRare, nullptr, FreeToIdleHeap, MallocManySlow, KeepMany,
   {"DrainIdleHeap", "Heap5Drain", "DrainTaken"}, {}, 6 * 65536},
  {"malloc_span", kBoth, 20000, nullptr, WarmUp, MallocBig, Keep,
   {"memory4Take", "Arena4Take"}, {}, kSpanLoss},
  {"malloc_long_reused", kStatic, 20000, nullptr, DirtyLong, MallocLong, Keep,
   {"memory4Take", "Arena4Take"}, {}, kSpanLoss},
  {"malloc_span_kept", kBoth, 20000, nullptr, DirtySpan, MallocBig, Keep,
   {"AllocateSpan"}, {"memory4Take"}, kSpanLoss},
  {"malloc_huge_reused", kMapped, 20000, nullptr, DirtyHuge, Malloc2M, Keep,
   {"memory4Take", "CountDirty"}, {}, size_t{3} << 20},
  {"malloc_slab_kept", kMapped, kRare, nullptr, KeepSlab, Malloc<kRare>, Keep,
   {"TakeSlab"}, {"memory4Take"}, 0},
  {"malloc_huge", kMapped, 20000, nullptr, WarmUp, MallocHuge, Keep,
   {"CommitUpTo", "os6Commit"}, {}, size_t{9} << 20},
  {"malloc_runs_out", kStatic | kRunsOut | kOursOnly, 64, nullptr, UseUp, Malloc<64>, Keep,
   {"Heap6Refill"}, {}, 0},
  {"malloc_raids", kStatic | kRunsOut | kOursOnly, 64, nullptr, UseUpAndFeedPeer, Malloc<64>, Keep,
   {"RaidHeaps", "Inbox4Raid"}, {}, 0},
  {"free_fast", kBoth | kRations, 64, nullptr, TakeSmall, Free, nullptr,
   {}, {"OnZero"}, 0},
  {"free_relists", kBoth, kRare, nullptr, HoldOneOfFull, Free, nullptr,
   {"Heap6OnZero"}, {"Discard"}, 0},
  {"free_empties_and_keeps", kBoth | kRations, kRare, nullptr, HoldLastOfSlab, Free, nullptr,
   {"Heap6OnZero", "Discard", "RunCache4Keep"}, {}, 0},
  {"free_remote", kBoth, 64, nullptr, TakeSmallFromPeer, Free, nullptr,
   {"FreeSlow"}, {"OnZero"}, 0},
  {"free_remote_listed", kMapped, 64, nullptr, GiveSomeOfPeer, Free, nullptr,
   {"FreeSlow"}, {"Send"}, 0},
  {"free_remote_sends", kBoth | kOursOnly, 64, nullptr, GiveManyOfPeer, Free, nullptr,
   {"FreeSlow", "Outbox4Send"}, {}, 10 * kRare},
  {"free_remote_evicts", kBoth | kOursOnly, 64, nullptr, TakeOneOfEach, FreeOneOfEach, nullptr,
   {"FreeSlow", "Outbox4Send"}, {}, 20 * kRare},  // what it did not come to free, too
  {"free_remote_keeps", kMapped, kRare, nullptr, NeedAndHoldOneOfPeer, Free, nullptr,
   {"FreeSlow"}, {"Send"}, 0},
  {"free_gets_heap", kBoth | kOursOnly, 64, nullptr, FreeWithoutHeap, Free, nullptr,
   {"FreeSlow", "ClaimForFreeSlow", "ClaimHeap"}, {}, 0},
  {"malloc_of_peer", kMapped | kRations | kOursOnly, kRare, nullptr, KeepSomeOfPeer, Malloc<kRare>, Keep,
   {"Heap6Refill", "PopForeign"}, {"slab5Carve"}, 0},
  {"malloc_after_peer", kMapped | kRations | kOursOnly, kRare, nullptr, UseUpSomeOfPeer, Malloc<kRare>, Keep,
   {"Heap6Refill", "PopForeign"}, {}, 0},
  {"free_long", kStatic, 20000, nullptr, TakeLong, Free, nullptr,
   {"memory6Return", "Arena6Return"}, {}, kSpanLoss},
  {"free_span_and_keep", kBoth, 20000, nullptr, TakeSpan, Free, nullptr,
   {"RunCache4Keep"}, {"memory6Return"}, kSpanLoss},
  {"free_span_flushes", kMapped, 20000, nullptr, LeaveCacheFull, Free, nullptr,
   {"RunCache5Flush", "Arena6Return"}, {}, kSpanLoss},
  {"free_huge", kMapped, 20000, nullptr, TakeHuge, Free, nullptr,
   {"memory6Return", "Arena6Return", "PurgeExcess"}, {}, size_t{3} << 20},
  {"free_purges", kMapped | kOursOnly, 20000, LetPurgeFallDue, WarmUp, FreeMany, nullptr,
   {"PurgeExcess", "PurgeUnits", "os5Purge"}, {}, kSpanLoss},
  {"calloc_small", kBoth, 200, nullptr, WarmAll, CallocSmall, KeepZeroed,
   {"calloc"}, {"AllocateZeroedSlow"}, 0},
  {"calloc_span", kBoth, 20000, nullptr, WarmUp, CallocBig, KeepZeroed,
   {"AllocateZeroed", "memory4Take"}, {}, kSpanLoss},
  {"calloc_dirty_long", kStatic, 20000, nullptr, DirtyLong, CallocLong, KeepZeroed,
   {"AllocateZeroed", "memory4Take"}, {}, kSpanLoss},
  {"calloc_span_kept", kBoth, 20000, nullptr, DirtySpan, CallocBig, KeepZeroed,
   {"AllocateZeroed"}, {"memory4Take"}, kSpanLoss},
  {"realloc_same", kBoth, 64, nullptr, TakeSmall, Realloc<60>, KeepContents,
   {"Reallocate"}, {}, 0},
  {"realloc_moves", kBoth, 64, nullptr, TakeSmall, Realloc<1000>, KeepContents,
   {"Reallocate"}, {}, 0},
  {"realloc_grows_span", kBoth, 20000, nullptr, TakeSpan, ReallocBigger, KeepContents,
   {"Reallocate", "Arena6Resize"}, {"memory4Take"}, kSpanLoss},
  {"realloc_copies_span", kBoth, 20000, nullptr, TakeSpanBeforeAnother, ReallocBigger, KeepContents,
   {"Reallocate", "Arena6Resize", "memory4Take"}, {"MovePages"}, kSpanLoss},
  {"realloc_moves_pages", kMapped, 20000, nullptr, TakeMovableSpan, ReallocMoving, KeepContents,
   {"Reallocate", "MovePages", "memory6Return"}, {}, 1300 * 1024},
  {"realloc_shrinks_span", kBoth, 20000, nullptr, TakeBiggerSpan, ReallocShrink, KeepContents,
   {"Reallocate", "Arena6Resize", "Arena6Return"}, {"memory4Take"}, kSpanLoss},
  {"realloc_span_to_small", kBoth, 100, nullptr, TakeSpan, Realloc<100>, KeepContents,
   {"Reallocate", "FreeSlow"}, {}, kSpanLoss},
  {"memalign", kBoth, 256, nullptr, WarmUp, Memalign, Keep,
   {"align"}, {"AllocateAlignedSlow"}, 0},
  {"memalign_page", kBoth, 4096, nullptr, WarmUp, MemalignPage, Keep,
   {"align"}, {"AllocateAlignedSlow"}, 0},
  {"memalign_span", kBoth, 5000, nullptr, WarmUp, MemalignSpan, Keep,
   {"AllocateAlignedSlow", "memory4Take"}, {}, size_t{2} << 20},
  {"posix_memalign", kBoth, 100, nullptr, WarmUp, PosixMemalign, Keep,
   {"align"}, {"AllocateAlignedSlow"}, 0},
  {"usable_size", kBoth, 64, nullptr, TakeSmall, UsableSize, GiveBack,
   {"UsableSize"}, {}, 0},
  {"ao_malloc", kBoth | kOursOnly, 64, nullptr, WarmUp, AoMalloc, Keep,
   {"AO_malloc"}, {"AllocateSlow"}, 0},
  {"ao_free", kBoth | kOursOnly, 64, nullptr, TakeSmall, AoFree, nullptr,
   {"AO_free"}, {"OnZero"}, 0},
  {"operator_new", kBoth | kOursOnly, 64, nullptr, WarmUp, New, Keep,
   {"own_new"}, {"AllocateSlow"}, 0},  // an alias
  {"operator_delete", kBoth | kOursOnly, 64, nullptr, TakeSmall, Delete, nullptr,
   {}, {"OnZero"}, 0},
  {"malloc_trim", kBoth | kRations, kRare, nullptr, FreeMuch, TrimAll, nullptr,
   {"Heap4Trim"}, {}, 0},
  {"mallinfo2", kBoth, 64, nullptr, FreeMuch, Info, nullptr,
   {"Count"}, {}, 0},
  {"thread_exit", kBoth | kRations | kAtExit, kRare, nullptr, TakeMoreThanSlab, nullptr, nullptr,
   {"ReleaseHeaps", "Heap4Trim"}, {}, 0},
  {"nested_first", kBoth | kInHandler, 64, nullptr, nullptr, Malloc<64>, Keep,
   {"ClaimHeap"}, {}, 0},
  {"nested_malloc", kBoth | kRations | kInHandler, 64, nullptr, WarmUp, Malloc<64>, Keep,
   {"ClaimHeap"}, {}, 0},
  {"nested_free", kBoth | kInHandler, 64, nullptr, TakeSmall, Free, nullptr,
   {"FreeSlow"}, {}, 0},
  {"take_over", kBoth | kRations | kTakeOver | kOursOnly, kRare, nullptr, nullptr, Malloc<kRare>, Keep,
   {"Heap6Repair", "RebuildLists"}, {}, 0},
  {"late_mmap", kStatic | kOursOnly, 3000, nullptr, WarmUp, EnableMmapAndMalloc, Keep,
   {"MakeArena", "os7Reserve"}, {}, 0},
  {"limited_first", kMapped | kOnMain | kOursOnly, 3000, LimitAddressSpace, nullptr, Malloc<3000>, Keep,
   {"MakeArena"}, {}, 0},
  {"limited_new_arena", kMapped | kOursOnly, 3000, LimitAddressSpace, WarmUp, Malloc2M, Keep,
   {"MakeArena"}, {}, size_t{4} << 20},
  {"limited_free", kMapped | kOursOnly, 64, LimitAddressSpace, TakeSmall, Free, nullptr,
   {"FreeSlow"}, {}, 0},
  {"ration_of_many", kRations, 64, nullptr, UseUpRation, Malloc<64>, Keep,
   {"Sampler6Ration"}, {"slab5Carve"}, 0},
  {"sample_first", kProfile, 64, nullptr, nullptr, Malloc<64>, Keep,
   {"StartSampling", "TakeIfDue", "FindFrameRules"}, {}, 0},
  {"sample_small", kProfile, 64, nullptr, WarmUp, Malloc<64>, Keep,
   {"TakeIfDue", "FindFrameRules"}, {"TakeSlab"}, 0},
  {"sample_span", kProfile, 20000, nullptr, WarmUp, MallocBig, Keep,
   {"NoteSpan", "FindFrameRules"}, {}, kSpanLoss},
  {"sample_memalign", kProfile, 256, nullptr, WarmUp, Memalign, Keep,
   {"TakeIfDue"}, {}, 0},
  {"sample_calloc", kProfile, 200, nullptr, WarmAll, CallocSmall, KeepZeroed,
   {"TakeIfDue"}, {}, 0},
  {"sample_nested", kProfile | kInHandler, 64, nullptr, WarmUp, Malloc<64>, Keep,
   {"TakeIfDue", "FindFrameRules"}, {}, 0},
  {"sample_free", kProfile, 64, nullptr, TakeSmall, Free, nullptr,
   {"ForgetSample"}, {}, 0},
  {"sample_free_of_peer", kProfile, 64, nullptr, TakeSmallFromPeer, Free, nullptr,
   {"ForgetSample"}, {}, 0},
  {"sample_realloc", kProfile, 64, nullptr, TakeSmall, Realloc<1000>, KeepContents,
   {"Reallocate", "TakeIfDue", "ForgetSample"}, {}, 2 * 65536},
  {"sample_realloc_same", kProfile, 64, nullptr, TakeSmall, Realloc<60>, KeepContents,
   {"Reallocate"}, {"TakeIfDue", "ForgetSample"}, 0},
  {"sample_realloc_grows", kProfile, 64, nullptr, TakeSmall, Realloc<40000>, KeepContents,
   {"Reallocate", "ForgetSample", "NoteSpan"}, {"memory4Take"}, 0},
  {"sample_realloc_pages", kProfile, 20000, nullptr, TakeMovableSpan, ReallocMoving, KeepContents,
   {"MovePages", "ForgetSample", "NoteSpan"}, {}, 1300 * 1024},
};
// clang-format on
const size_t kNumScenarios = sizeof kScenarios / sizeof kScenarios[0];

}  // namespace stepper
