#include "test/stepper/scenarios.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <type_traits>

#include "test/stepper/book.h"
#include "test/stepper/setups.h"
#include "test/stepper/shared.h"

namespace stepper {
namespace {

void* out;    // what the operation returned
bool is_new;  // `out` is a new block, to be entered

// Functions that only some libraries have.
void* (*ao_malloc)(size_t);
void (*ao_free)(void*);
void (*ao_enable)();
void* (*mallocx_function)(size_t, int);
void* (*rallocx_function)(void*, size_t, int);
void* (*operator_new)(size_t);
void (*operator_delete)(void*);

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
  for (int i = 0; i < 10; ++i) free(malloc(65536));
}
void MallocLong() { Allocated(malloc(kLong)); }
void CallocLong() { Allocated(calloc(1, kLong)); }
void MallocBig() { Allocated(malloc(Big())); }
void MallocManyOfPages() {
  for (int i = 0; i < 100; ++i) blocks[i] = malloc(1024);
}
void MallocSlabsOfFour() {
  for (int i = 0; i < 40; ++i) blocks[i] = malloc(kFourth);
}
// malloc, called by code without call frame information whose frame pointer
// leads to a return address where there is nothing.
extern "C" void* MallocOfNobody(size_t size);
__asm__(R"(
  .type MallocOfNobody, @function
MallocOfNobody:
  push %rbp
  sub $16, %rsp
  movq $0, (%rsp)
  movq $0x1000, 8(%rsp)
  mov %rsp, %rbp
  call malloc@PLT
  add $16, %rsp
  pop %rbp
  ret
  .size MallocOfNobody, . - MallocOfNobody
)");
void MallocFromNowhere() { Allocated(MallocOfNobody(64)); }
void FreeAndCalloc() { free(in), Allocated(calloc(1, 2 << 20)); }
void MemalignHuge() { Allocated(memalign(4 << 20, 6 << 20)); }
void ReallocHuge() { Allocated(realloc(in, 9 << 20)); }
void Stats() { malloc_stats(); }
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
void MallocWithTail() { Allocated(malloc(200000)); }
void MallocOneUnit() { Allocated(malloc(kOfOneUnit)); }
void ReallocToTail() { Allocated(realloc(in, 200000)); }
void ReallocIntoTail() { Allocated(realloc(in, 195000)); }
void ReallocBigger() { Allocated(realloc(in, Bigger())); }
void ReallocMoving() { Allocated(realloc(in, 800000)); }
void ReallocShrink() { Allocated(realloc(in, Big() + 16)); }
void Memalign() { Allocated(memalign(256, 200)); }
void MemalignPage() { Allocated(memalign(4096, 100)); }
void MemalignPages() { Allocated(memalign(16384, 5000)); }
void MemalignSpan() { Allocated(memalign(mapped ? 1 << 20 : 16384, 5000)); }
void PosixMemalign() {
  void* ptr = nullptr;
  const int error = posix_memalign(&ptr, 64, 100);
  if (error != 0) ptr = nullptr, errno = error;
  Allocated(ptr);
}
constexpr int kMallocxAlign256 = 8;  // of jemalloc: its logarithm
constexpr int kMallocxZero = 0x40;
void MallocxZeroed() {
  Allocated(mallocx_function(200, kMallocxAlign256 | kMallocxZero));
}
void RallocxAligned() {
  Allocated(rallocx_function(in, 1000, kMallocxAlign256));
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
  if (out == nullptr && errno != ENOMEM) Fail("null without ENOMEM");
  if (is_new && out != nullptr) Enter(out, malloc_usable_size(out));
  is_new = false;
}

// The contents of the block must have moved with it, or be where they were.
void KeepContents() {
  if (out == nullptr) {
    Keep();
    out = in;
    is_new = true;
  }
  const auto* bytes = static_cast<const unsigned char*>(out);
  size_t size = malloc_usable_size(out);
  if (size > in_size) size = in_size;
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != 0x5a) Fail("realloc lost contents", bytes + i);
  }
  Keep();
}

void KeepZeroed() {
  if (out == nullptr) return Keep();
  const auto* bytes = static_cast<const unsigned char*>(out);
  const size_t usable = malloc_usable_size(out);
  const size_t huge = size_t{2} << 20;
  const size_t size = usable < 1000 ? 200 : usable < huge ? Big() : huge;
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != 0) Fail("calloc gave memory that is not zero", bytes + i);
  }
  Keep();
}

void KeepMany() {
  for (int i = 0; i < 6; ++i) Enter(blocks[i], malloc_usable_size(blocks[i]));
}
void KeepManyOfPages() {
  for (int i = 0; i < 100; ++i) Enter(blocks[i], malloc_usable_size(blocks[i]));
}

void KeepSlabsOfFour() {
  for (int i = 0; i < 40; ++i) Enter(blocks[i], malloc_usable_size(blocks[i]));
}

void LiftLimit() {
  if (out != nullptr) Fail("memory beyond the limit");
  if (errno != ENOMEM) Fail("null without ENOMEM");
  is_new = false;
  setrlimit(RLIMIT_AS, &no_limit);
}

void GiveBack() { free(in); }

constexpr size_t kSpanLoss = size_t{600} * 1024;

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
  find(&mallocx_function, "mallocx");
  find(&rallocx_function, "rallocx");
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
  {"malloc_next_slab", kBoth, kRare, nullptr, LeaveOneInNext, Malloc<kRare>, Keep,
   {"PopFromNext", "Heap6Unlink"}, {"Heap6Refill"}, 0},
  {"malloc_next_ration", kRations, kRare, nullptr, LeaveOneInNext, Malloc<kRare>, Keep,
   {"Heap6Refill", "Heap6Unlink"}, {"TakeSlab"}, 0},
  {"first_of_process", kBoth | kOnMain, 64, nullptr, nullptr, Malloc<64>, Keep,
   {"ClaimHeap", "TakeSlab"}, {}, 0},
  {"first_of_thread", kBoth | kRations, 64, nullptr, nullptr, Malloc<64>, Keep,
   {"ClaimHeap", "TakeSlab"}, {}, 0},
  {"first_adds_heaps", kBoth | kOursOnly, 64, nullptr, HoldFirstHeaps, Malloc<64>, Keep,
   {"ClaimHeap", "AddHeaps"}, {}, 0},
  {"first_of_dead", kMapped | kOursOnly, 64, nullptr, LoseOneOfFirstHeaps, Malloc<64>, Keep,
   {"ClaimHeap", "IsDead"}, {"AddHeaps"}, 0},
  {"malloc_drains", kBoth | kRations, kRare, nullptr, LetPeerFree, Malloc<kRare>, Keep,
   {"DrainTaken"}, {"TakeSlab"}, 0},
  {"malloc_drains_slab", kBoth, kRare, nullptr, LetPeerEmptySlab, Malloc<kRare>, Keep,
   {"DrainTaken", "Heap6OnZero"}, {}, 0},
  {"malloc_drains_idle", kBoth | kOursOnly, kRare, nullptr, FreeToIdleHeap, MallocManySlow, KeepMany,
   {"DrainNext", "Heap5Drain", "DrainTaken"}, {}, size_t{6} * 65536},
  {"malloc_span", kBoth, 20000, nullptr, WarmUp, MallocBig, Keep,
   {"memory4Take", "Arena4Take"}, {}, kSpanLoss},
  {"malloc_long_reused", kStatic, 20000, nullptr, DirtyLong, MallocLong, Keep,
   {"memory4Take", "Arena4Take"}, {}, kSpanLoss},
  {"malloc_span_kept", kBoth, 20000, nullptr, DirtySpan, MallocBig, Keep,
   {"AllocateSpan"}, {"memory4Take"}, kSpanLoss},
  {"malloc_span_again", kMapped, 20000, nullptr, KeepSpanWithTail, MallocOneUnit, Keep,
   {"AllocateSpan"}, {"memory4Take", "SetUpAnew"}, kSpanLoss},
  {"malloc_purges_tail", kMapped | kOursOnly, 20000, nullptr, DirtySpanAmongTails, MallocWithTail, Keep,
   {"AllocateSpan", "PurgePart", "os5Purge"}, {"memory4Take"}, kSpanLoss},
  {"malloc_huge_reused", kMapped, 20000, nullptr, DirtyHuge, Malloc2M, Keep,
   {"memory4Take", "CountDirty"}, {}, size_t{3} << 20},
  {"malloc_slab_kept", kMapped, kRare, nullptr, KeepSlab, Malloc<kRare>, Keep,
   {"TakeSlab"}, {"memory4Take"}, 0},
  {"malloc_populates", kMapped, 1024, nullptr, FillSlabsOfPages, MallocManyOfPages, KeepManyOfPages,
   {"TakeSlab", "os8Populate"}, {}, size_t{3} * 65536},
  {"malloc_regrets", kMapped, 20000, nullptr, FreeAndPurge, MallocHuge, Keep,
   {"memory4Take", "Regret"}, {}, size_t{9} << 20},
  {"malloc_huge", kMapped, 20000, nullptr, WarmUp, MallocHuge, Keep,
   {"Arena4Take", "os8FillHole"}, {}, size_t{9} << 20},
  {"malloc_grows_huge", kHuge | kOursOnly, 20000, FillSmallPages, WarmUp, Malloc2M, Keep,
   {"Arena4Grow", "UseHugePages"}, {}, size_t{6} << 20},
  {"malloc_runs_out", kStatic | kRunsOut | kOursOnly, 64, nullptr, UseUp, Malloc<64>, Keep,
   {"Heap6Refill"}, {}, 0},
  {"malloc_raids", kStatic | kRunsOut | kOursOnly, 64, nullptr, UseUpAndFeedPeer, Malloc<64>, Keep,
   {"RaidAll", "Inbox4Raid"}, {}, 0},
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
  {"free_remote_begins", kMapped, 48, nullptr, GiveBatchOfPeer, Free, nullptr,
   {"FreeSlow", "Outbox5Begin"}, {"Send"}, 0},
  {"free_remote_sends", kBoth | kOursOnly, 64, nullptr, GiveManyOfPeer, Free, nullptr,
   {"FreeSlow", "Outbox4Send"}, {}, 10 * kRare},
  {"free_remote_evicts", kBoth | kOursOnly, 64, nullptr, TakeOneOfEach, FreeOneOfEach, nullptr,
   {"FreeSlow", "Outbox4Send"}, {}, 20 * kRare},  // what it did not come to free, too
  {"free_relieves_idle", kBoth | kOursOnly, kRare, nullptr, CrowdIdleHeap, Free, nullptr,
   {"FreeSlow", "Relieve", "Heap4Trim"}, {}, size_t{2} * 65536},
  {"free_relieves_sleeper", kMapped | kOursOnly, 20000, nullptr, CrowdPeer, Free, nullptr,
   {"Relieve", "remote_claim5Begin", "DrainTaken"}, {}, size_t{2} * 65536},
  {"trim_relieves_sleeper", kMapped | kOursOnly, 20000, nullptr, SendToPeer, TrimAll, nullptr,
   {"TrimAll", "remote_claim5Begin", "DrainTaken"}, {}, size_t{3} * 65536},
  {"malloc_after_visit", kMapped | kOursOnly, 64, nullptr, LetPeerVisit, Malloc<64>, Keep,
   {"ClaimHeap", "IsUnderWay", "remote_claim6Repair"}, {}, 0},
  {"free_after_visit", kMapped | kOursOnly, 64, nullptr, LetPeerVisitAndHoldOneOfPeer, Free, nullptr,
   {"FreeSlow", "TakeBack", "remote_claim6Repair"}, {}, 0},
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
  {"free_span_again", kMapped, 20000, nullptr, TakeOneUnit, Free, nullptr,
   {"RunCache4Keep"}, {"memory6Return", "ForgetSlow"}, kSpanLoss},
  {"free_span_sheds", kMapped, 20000, nullptr, LeaveCacheFull, Free, nullptr,
   {"RunCache4Shed", "Arena6Return"}, {}, kSpanLoss},
  {"free_huge", kMapped, 20000, nullptr, TakeHuge, Free, nullptr,
   {"memory6Return", "Arena6Return", "PurgeExcess"}, {}, size_t{3} << 20},
  {"free_breaks_page", kHuge | kOursOnly, 20000, FillSmallPagesAndKeepLittle, TakeMostOfHugePage, Free, nullptr,
   {"PurgeFreeOfHuge", "HugePages5Break"}, {}, size_t{4} << 20},
  {"free_vast", kMapped, 20000, nullptr, TakeVast, Free, nullptr,
   {"os5Purge", "UnmapFree", "Growth5Unmap"}, {}, size_t{80} << 20},
  {"free_then_calloc", kMapped, 20000, nullptr, TakeHuge, FreeAndCalloc, KeepZeroed,
   {"PurgeExcess", "AllocateZeroed"}, {}, size_t{6} << 20},
  {"free_purges", kMapped | kOursOnly, 20000, LetPurgeFallDue, WarmUp, FreeMany, nullptr,
   {"PurgeExcess", "PurgeUnits", "os5Purge"}, {}, kSpanLoss},
  {"calloc_small", kBoth, 200, nullptr, WarmAll, CallocSmall, KeepZeroed,
   {"calloc"}, {"AllocateZeroedSlow"}, 0},
  {"calloc_span", kBoth, 20000, nullptr, WarmUp, CallocBig, KeepZeroed,
   {"AllocateZeroed", "memory4Take"}, {}, kSpanLoss},
  {"calloc_dirty_long", kStatic, 20000, nullptr, DirtyLong, CallocLong, KeepZeroed,
   {"AllocateZeroed", "memory4Take", "ClearTaken"}, {}, kSpanLoss},
  {"calloc_span_kept", kBoth, 20000, nullptr, DirtySpan, CallocBig, KeepZeroed,
   {"AllocateZeroed"}, {"memory4Take"}, kSpanLoss},
  {"realloc_same", kBoth, 64, nullptr, TakeSmall, Realloc<60>, KeepContents,
   {"Reallocate"}, {}, 0},
  {"realloc_moves", kBoth, 64, nullptr, TakeSmall, Realloc<1000>, KeepContents,
   {"Reallocate"}, {}, 0},
  {"realloc_grows_span", kBoth, 20000, nullptr, TakeSpan, ReallocBigger, KeepContents,
   {"Reallocate", "Arena6Extend"}, {"memory4Take"}, kSpanLoss},
  {"realloc_grows_memory", kMapped, 20000, nullptr, TakeSpan, ReallocHuge, KeepContents,
   {"Reallocate", "Arena6GrowAt", "os8FillHole"}, {"memory4Take"}, size_t{12} << 20},
  {"realloc_copies_span", kBoth, 20000, nullptr, TakeSpanBeforeAnother, ReallocBigger, KeepContents,
   {"Reallocate", "Arena6Extend", "memory4Take"}, {"4move5Pages"}, kSpanLoss},
  {"realloc_moves_pages", kMapped, 20000, nullptr, TakeMovableSpan, ReallocMoving, KeepContents,
   {"Reallocate", "4move5Pages", "memory6Return"}, {}, size_t{1300} * 1024},
  {"realloc_moves_twice", kMapped, 20000, nullptr, TakeMovedSpan, ReallocHuge, KeepContents,
   {"Reallocate", "4move5Pages", "memory6Return"}, {}, size_t{12} << 20},
  {"realloc_moves_grown", kMapped, 20000, nullptr, TakeMovedAndGrownSpan, ReallocHuge, KeepContents,
   {"Reallocate", "4move5Pages", "memory6Return"}, {}, size_t{12} << 20},
  {"realloc_shrinks_span", kBoth, 20000, nullptr, TakeBiggerSpan, ReallocShrink, KeepContents,
   {"Reallocate", "Arena3Cut", "Arena6Return"}, {"memory4Take"}, kSpanLoss},
  {"realloc_purges_tail", kMapped | kOursOnly, 20000, nullptr, TakeSpanAmongTails, ReallocToTail, KeepContents,
   {"tails6Shrink", "PurgePart", "os5Purge"}, {"memory4Take", "Arena3Cut"}, kSpanLoss},
  {"realloc_into_tail", kMapped, 20000, nullptr, TakeSpanWithTail, ReallocIntoTail, KeepContents,
   {"Reallocate", "tails4Grow"}, {"memory4Take", "Arena6Extend"}, kSpanLoss},
  {"realloc_span_to_small", kBoth, 100, nullptr, TakeSpan, Realloc<100>, KeepContents,
   {"Reallocate", "FreeSlow"}, {}, kSpanLoss},
  {"memalign", kBoth, 256, nullptr, WarmUp, Memalign, Keep,
   {"align"}, {"AllocateAlignedSlow"}, 0},
  {"memalign_page", kBoth, 4096, nullptr, WarmUp, MemalignPage, Keep,
   {"align"}, {"AllocateAlignedSlow"}, 0},
  {"memalign_pages", kMapped, 5000, nullptr, WarmUp, MemalignPages, Keep,
   {"AllocateAlignedSlow"}, {}, kSpanLoss},
  {"memalign_span", kBoth, 5000, nullptr, WarmUp, MemalignSpan, Keep,
   {"AllocateAlignedSlow", "memory4Take"}, {}, size_t{2} << 20},
  {"memalign_huge", kMapped, 5000, nullptr, WarmUp, MemalignHuge, Keep,
   {"AllocateAlignedSlow", "os8FillHole"}, {}, size_t{12} << 20},
  {"posix_memalign", kBoth, 100, nullptr, WarmUp, PosixMemalign, Keep,
   {"align"}, {"AllocateAlignedSlow"}, 0},
  {"mallocx_zeroed", kBoth | kOursOnly, 64, nullptr, WarmUp, MallocxZeroed, KeepZeroed,
   {"mallocx"}, {}, 0},
  {"rallocx_aligned", kBoth | kOursOnly, 64, nullptr, TakeSmall, RallocxAligned, KeepContents,
   {"rallocx", "Reallocate"}, {}, 0},
  {"usable_size", kBoth, 64, nullptr, TakeSmall, UsableSize, GiveBack,
   {"UsableSize"}, {}, 0},
  {"usable_size_of_libc", kBoth | kOursOnly | kForCalls, 64, nullptr, TakeOfLibc, UsableSize, GiveBack,
   {"CopyFrom"}, {}, 0},
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
  {"malloc_trim_purges", kMapped, 20000, nullptr, FreeSome, TrimAll, nullptr,
   {"Heap4Trim", "PurgeUnits"}, {}, size_t{2} << 20},
  {"malloc_trim_free_pages", kMapped, kRare, nullptr, LeaveOneInEach, TrimAll, nullptr,
   {"Heap10PurgePages", "slab8LeaveOut", "os5Purge"}, {}, 0},
  {"malloc_carves_page", kMapped, kRare, nullptr, UseUpListOfPurged, Malloc<kRare>, Keep,
   {"Heap6Refill", "slab9CarvePage"}, {"TakeSlab"}, 0},
  {"malloc_of_slab_aside", kMapped, kRare, nullptr, UseUpHeadOfPurged, Malloc<kRare>, Keep,
   {"Heap6Refill", "Heap6Unlink"}, {"TakeSlab"}, 0},
  {"free_in_purged", kMapped, kRare, nullptr, HoldOneOfPurged, Free, nullptr,
   {"FreeSlow", "slab8NoteFree"}, {"slab9CarvePage"}, 0},
  {"free_carves_pages", kMapped, kRare, nullptr, FreeManyInPurged, Free, nullptr,
   {"FreeSlow", "slab8NoteFree", "slab9CarvePage"}, {}, 0},
  {"malloc_purges_idle", kMapped, kRare, nullptr, GrowBesideIdle, MallocSlabsOfFour, KeepSlabsOfFour,
   {"Heap9PurgeIdle", "slab8LeaveOut", "os5Purge"}, {}, size_t{11} * 65536},
  {"free_falls", kMapped, kRare, nullptr, FreeMostOfPeak, Free, nullptr,
   {"Heap6OnZero", "Heap6OnFall", "RunCache6GiveUp"}, {}, 0},
  {"malloc_stats", kMapped | kOursOnly | kForCalls, 64, nullptr, FreeMuch, Stats, nullptr,
   {"os8Resident"}, {}, 0},
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
  {"take_over_nested", kBoth | kTakeOver | kInHandler | kOursOnly, kRare, nullptr, nullptr, Malloc<kRare>, Keep,
   {"ClaimHeap"}, {}, 0},
  {"late_mmap", kStatic | kOursOnly, 3000, nullptr, WarmUp, EnableMmapAndMalloc, Keep,
   {"MakeGrowing", "os8FillHole"}, {}, 0},
  {"more_of_first_chunk", kMapped | kOursOnly, 3000, nullptr, WarmUp, Malloc2M, Keep,
   {"MapMoreOfFirst", "os8FillHole"}, {}, size_t{4} << 20},
  {"pieces_first", kMapped | kOnMain | kOursOnly, 3000, RefusePrimary, nullptr, Malloc<3000>, Keep,
   {"MakePiece"}, {}, 0},
  {"pieces_new_arena", kMapped | kOursOnly, 3000, RefusePrimary, WarmUp, Malloc2M, Keep,
   {"MakePiece"}, {}, size_t{4} << 20},
  {"pieces_then_primary", kMapped | kOursOnly, 3000, LimitAddresses, WarmUpAndLiftLimit, Malloc2M, Keep,
   {"MakeGrowing", "MapMoreOfFirst"}, {}, size_t{4} << 20},
  {"another_grows", kMapped | kOursOnly, 3000, nullptr, BlockPrimary, MallocHuge, Keep,
   {"MakeGrowing", "Arena4Grow"}, {}, size_t{9} << 20},
  {"limited_later", kMapped | kOursOnly | kForCalls, 3000, nullptr, LimitToWhatThereIs, MallocHuge, LiftLimit,
   {"os8FillHole", "os3Map"}, {}, size_t{9} << 20},
  {"pieces_free", kMapped | kOursOnly, 64, RefusePrimary, TakeSmall, Free, nullptr,
   {"FreeSlow"}, {}, 0},
  {"ration_of_many", kRations, 64, nullptr, UseUpRation, Malloc<64>, Keep,
   {"Sampler6Ration"}, {"slab5Carve"}, 0},
  {"sample_first", kProfile, 64, nullptr, nullptr, Malloc<64>, Keep,
   {"StartSampling", "TakeIfDue", "FindFrameRules"}, {}, 0},
  {"sample_small", kProfile, 64, nullptr, WarmUp, Malloc<64>, Keep,
   {"TakeIfDue", "FindFrameRules"}, {"TakeSlab"}, 0},
  {"sample_lost_caller", kProfile, 64, nullptr, WarmUp, MallocFromNowhere, Keep,
   {"TakeIfDue", "os10IsReadable"}, {}, 0},
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
   {"Reallocate", "TakeIfDue", "ForgetSample"}, {}, size_t{2} * 65536},
  {"sample_realloc_same", kProfile, 64, nullptr, TakeSmall, Realloc<60>, KeepContents,
   {"Reallocate"}, {"TakeIfDue", "ForgetSample"}, 0},
  {"sample_realloc_grows", kProfile, 64, nullptr, TakeSmall, Realloc<40000>, KeepContents,
   {"Reallocate", "ForgetSample", "NoteSpan"}, {"memory4Take"}, 0},
  {"sample_realloc_pages", kProfile, 20000, nullptr, TakeMovableSpan, ReallocMoving, KeepContents,
   {"4move5Pages", "ForgetSample", "NoteSpan"}, {}, size_t{1300} * 1024},
};
// clang-format on
const size_t kNumScenarios = sizeof kScenarios / sizeof kScenarios[0];

}  // namespace stepper
