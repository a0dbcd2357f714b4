#include "test/stepper/setups.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "test/stepper/book.h"
#include "test/stepper/scenarios.h"
#include "test/stepper/shared.h"
#include "test/stepper/victim.h"

namespace stepper {

void* in;
size_t in_size;
void* blocks[128];
rlimit no_limit;

size_t Big() { return mapped ? 150000 : 40000; }
size_t Bigger() { return mapped ? 250000 : 60000; }

namespace {

size_t SlabBlocks() { return mapped ? 28 : 5; }
// So many fill some slabs.
size_t Full() { return mapped ? 28 : 30; }
// So many frees have a slab that was full listed again.
size_t Worthwhile() { return 1; }

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

}  // namespace

void WarmUp() { Warm(64); }
void WarmAll() { Warm(64), Warm(kRare), Warm(Big()); }
void TakeSmall() { Hold(Take(64), 64); }
void TakeSmallFromPeer() {
  Warm(64);
  OnPeer([] { Hold(Take(64), 64); });
}
namespace {
void TakeManyFromPeer() {
  OnPeer([] { Fill(kRare, 10); });
}
}  // namespace
// This thread needs no such block, and so keeps none.
void GiveSomeOfPeer() {
  Warm(64);
  TakeManyFromPeer();
  Give(blocks[0]);
  Hold(blocks[1], kRare);
}
// A block of 48 bytes lists four others. The next one begins a list, too. (The
// first blocks of a class may be of another class.)
void GiveBatchOfPeer() {
  Warm(64);
  OnPeer([] { Fill(48, 20); });
  for (int i = 10; i < 15; ++i) Give(blocks[i]);
  Hold(blocks[15], 48);
}
// As many as are sent at a time.
void GiveManyOfPeer() {
  Warm(64);
  TakeManyFromPeer();
  for (int i = 0; i < 7; ++i) Give(blocks[i]);
  Hold(blocks[7], kRare);
}
namespace {
pthread_barrier_t all_have_one;
}  // namespace
void TakeOneOfEach() {
  Warm(64);
  pthread_t threads[kOwners];
  pthread_barrier_init(&all_have_one, nullptr, kOwners);
  for (int i = 0; i < kOwners; ++i) {
    pthread_create(
        &threads[i], nullptr,
        [](void* block) -> void* {
          *static_cast<void**>(block) = malloc(kRare);
          pthread_barrier_wait(&all_have_one);
          return nullptr;
        },
        &blocks[i]);
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
    // No fewer than a slab has, and whole batches: all are sent.
    const size_t count = mapped ? 32 : 6;
    for (size_t i = 0; i < count; ++i) Give(blocks[i]);
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
// A block that was moved, with another right behind it, and larger holes below
// than either needs.
void TakeMovedSpan() {
  void* span = Take(1 << 20);
  Take(1 << 20);
  span = Resize(span, 3 << 20);
  Take(2 << 20);
  Hold(span, 3 << 20);
}
// The same, grown in place since: two mappings, as the kernel sees it.
void TakeMovedAndGrownSpan() {
  void* span = Take(1 << 20);
  Take(1 << 20);
  span = Resize(span, 3 << 20);
  span = Resize(span, 4 << 20);
  Take(2 << 20);
  Hold(span, 4 << 20);
}
// More than is ever kept, of which little is in use.
void TakeVast() {
  Warm(64);
  constexpr size_t kVast = size_t{80} << 20;
  void* vast = Take(kVast);
  Strike(vast);
  in = vast;
}
void FillSlabsOfPages() {
  for (int i = 0; i < 200; ++i) Take(1024);
}
// Free memory that stays, as it is not much.
void FreeSome() {
  constexpr size_t kSpans = 6;
  Fill(Big(), kSpans);
  for (size_t i = 0; i < kSpans; ++i) Give(blocks[i]);
}
// The system has just had back what is wanted now.
void FreeAndPurge() {
  Warm(64);
  Warm(2 << 20);
}
// A block of the C library's own heap.
void TakeOfLibc() {
  Warm(64);
  void* libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  const auto libc_malloc =
      reinterpret_cast<void* (*)(size_t)>(dlsym(libc, "malloc"));
  in = libc_malloc(100);
}
// The process has all the address space that it may have, but for a little.
void LimitToWhatThereIs() {
  Warm(64);
  getrlimit(RLIMIT_AS, &no_limit);
  char pages[64] = "";
  const int statm = open("/proc/self/statm", O_RDONLY);
  if (read(statm, pages, sizeof pages - 1) <= 0) Fail("statm");
  close(statm);
  const rlimit limit = {strtoul(pages, nullptr, 10) * 4096 + (1 << 20),
                        no_limit.rlim_max};
  setrlimit(RLIMIT_AS, &limit);
}

// In the process that the trials are forked from: mapped memory comes in
// pieces.
void LimitAddresses() {
  getrlimit(RLIMIT_AS, &no_limit);
  const rlimit limit = {rlim_t{47} << 20, no_limit.rlim_max};
  setrlimit(RLIMIT_AS, &limit);
}
void WarmUpAndLiftLimit() {
  Warm(64);
  setrlimit(RLIMIT_AS, &no_limit);
}

// Something is behind the first 4 MiB of the primary, wherever it could grow,
// and it has passed by all that. It could not be followed by another arena
// then.
void BlockPrimary() {
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  constexpr uintptr_t kChunk = 2 * kHugePage;
  constexpr int kFlags =
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
  Warm(64);
  void* block = malloc(64);
  const auto base = reinterpret_cast<uintptr_t>(block) & ~(kHugePage - 1);
  // Refused where something is there already, which does as well.
  static_cast<void>(mmap(reinterpret_cast<void*>(base + kChunk),
                         (size_t{256} << 30) - kChunk, PROT_NONE, kFlags, -1,
                         0));
  free(block);
  LimitAddresses();
  free(malloc(8 << 20));
  setrlimit(RLIMIT_AS, &no_limit);
}

void TakeBiggerSpan() { Warm(64), Hold(Take(Bigger()), Bigger()); }
void DirtySpan() { Warm(64), Warm(Big()); }
// The last two had the same run, all of which was used.
void KeepSpanWithTail() { Warm(64), Warm(1 << 16), Warm(kOfOneUnit); }
void TakeOneUnit() { KeepSpanWithTail(), Hold(Take(kOfOneUnit), kOfOneUnit); }
namespace {
// As much lies behind large blocks as may stay there.
void UseUpWhatTailsMayHave() {
  Warm(64);
  constexpr size_t kTails = 25;
  for (size_t i = 0; i < kTails; ++i) {
    Warm(1 << 16);
    Take(40000);
  }
}
}  // namespace
void DirtySpanAmongTails() {
  UseUpWhatTailsMayHave();
  // Of four units, all of which were used.
  Warm(1 << 18);
}
void TakeSpanWithTail() { Warm(64), Hold(Take(150000), 150000); }
void TakeSpanAmongTails() {
  UseUpWhatTailsMayHave();
  Hold(Take(Bigger()), Bigger());
}
void TakeLong() { Warm(64), Hold(Take(kLong), kLong); }
void DirtyLong() { Warm(64), Warm(kLong); }
void DirtyHuge() { Warm(64), Warm(2 << 20); }
void TakeHuge() { Warm(64), Hold(Take(2 << 20), 2 << 20); }
// What is taken next is dense, and lies in huge pages.
void FillSmallPages() {
  for (int i = 0; i < 6; ++i) blocks[i] = malloc(1 << 20);
}
// And what is freed then is purged at once, whatever it breaks.
void FillSmallPagesAndKeepLittle() {
  FillSmallPages();
  mallopt(M_TRIM_THRESHOLD, 1 << 16);
}
// One huge page, of which a little stays in use when the block is freed.
void TakeMostOfHugePage() {
  Warm(64);
  Take(size_t{7} << 16);
  Hold(Take(size_t{25} << 16), size_t{25} << 16);
}
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
// Three slabs, and in each of them the first block.
void LeaveOneInEach() {
  const size_t count = 3 * SlabBlocks();
  Fill(kRare, count);
  for (size_t i = 0; i < count; ++i) {
    if (i % SlabBlocks() != 0) Give(blocks[i]);
  }
}
namespace {
void PurgeFreePages() {
  LeaveOneInEach();
  malloc_trim(0);
}
}  // namespace
// The block that follows begins in the same page, so it is on the list.
void UseUpListOfPurged() {
  PurgeFreePages();
  Take(kRare);
}
void UseUpHeadOfPurged() {
  PurgeFreePages();
  for (size_t i = 1; i < SlabBlocks(); ++i) Take(kRare);
}
// Of the slab that malloc allocates from.
void HoldOneOfPurged() {
  PurgeFreePages();
  Hold(blocks[2 * SlabBlocks()], kRare);
}
void FreeManyInPurged() {
  PurgeFreePages();
  constexpr int kMany = 63;
  for (int i = 0; i < kMany; ++i) Warm(kRare);
  Hold(blocks[2 * SlabBlocks()], kRare);
}
// The idle slabs are about to be purged.
void GrowBesideIdle() {
  LeaveOneInEach();
  constexpr int kSlabs = 32;
  for (int i = 0; i < 4 * kSlabs; ++i) Take(kFourth);
}
// With one more slab that is given back much has gone. There are heads with and
// without a block in use.
void FreeMostOfPeak() {
  constexpr int kSlabs = 129;  // of two blocks each; the last one is the head
  static void* peak[2 * kSlabs];
  Warm(64), Warm(3000), Take(kRare);
  peak[0] = malloc(kSent);
  void* last = Take(kSent);
  for (int i = 2; i < 2 * kSlabs; ++i) peak[i] = malloc(kSent);
  free(peak[0]);
  for (int i = 2; i < 2 * kSlabs; ++i) free(peak[i]);
  Hold(last, kSent);
}

namespace {
void* TakeAndIdle(void* taken) {
  Take(64);
  static_cast<Event*>(taken)->Set();
  static Event never;
  never.Wait();
  return nullptr;
}
}  // namespace

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

// As many heaps as there are without asking for memory are held by threads, of
// which one has ended without a word. The kernel says that it has ended a
// little before it forgets its id.
void LoseOneOfFirstHeaps() {
  HoldFirstHeaps();
  OnPeer([] {
    static pid_t id;
    pthread_t thread;
    if (pthread_create(
            &thread, nullptr,
            [](void*) -> void* {
              Take(64);
              id = gettid();
              syscall(SYS_exit, 0);
              return nullptr;
            },
            nullptr) != 0) {
      Fail("pthread_create");
    }
    pthread_join(thread, nullptr);
    while (syscall(SYS_tgkill, getpid(), id, 0) == 0) sched_yield();
  });
}

namespace {
size_t count_to_take;
void TakeFromThreadThatEnds(size_t count) {
  Warm(64);
  count_to_take = count;
  OnPeer([] {
    pthread_t thread;
    if (pthread_create(
            &thread, nullptr,
            [](void*) -> void* {
              Fill(kRare, count_to_take);
              return nullptr;
            },
            nullptr) != 0) {
      Fail("pthread_create");
    }
    pthread_join(thread, nullptr);
  });
}
// So many blocks, sent in batches of 8 or of 2, crowd an inbox.
size_t Crowd() { return mapped ? 32 : 30; }
}  // namespace
// Leaves remote frees in the heap of a thread that is no more.
void FreeToIdleHeap() {
  TakeFromThreadThatEnds(Full());
  for (size_t i = 0; i < Full() - 2; ++i) Give(blocks[i]);  // no crowd
}
// So many that the next one, which is sent, is one too many.
void CrowdIdleHeap() {
  malloc_trim(0);  // nothing waits there, or here to be sent
  TakeFromThreadThatEnds(Crowd() + 1);
  for (size_t i = 0; i < Crowd() - 1; ++i) Give(blocks[i]);
  Hold(blocks[Crowd() - 1], kRare);
}

// So much waits for a peer that does not stir that the next block is too much.
void CrowdPeer() {
  Warm(64);
  malloc_trim(0);  // nothing waits there
  OnPeer([] { Fill(kSent, 33); });
  for (int i = 0; i < 31; ++i) Give(blocks[i]);
  Hold(blocks[31], kSent);
}
// Something waits for it.
void SendToPeer() {
  Warm(64);
  OnPeer([] { Fill(kSent, 2); });
  Give(blocks[0]);
}
// A peer has drained the heap of this thread, which finds that out only now.
void LetPeerVisit() {
  Warm(64);
  Fill(kSent, 2);
  OnPeer([] {
    Give(blocks[0]);
    malloc_trim(0);
  });
}
void LetPeerVisitAndHoldOneOfPeer() {
  OnPeer([] { Fill(64, 2); });
  Strike(blocks[0]);
  void* of_peer = blocks[0];
  LetPeerVisit();
  in = of_peer;
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

// Leaves more free memory than may stay for long, though not so much that it is
// purged at once, and lets the delay pass.
void LetPurgeFallDue() {
  void* spans[25];  // so that a heap, which keeps 16, twice gives 8 back
  for (void*& span : spans) span = malloc(65536);
  for (void* span : spans) free(span);
  const timespec delay = {0, 130000000};
  nanosleep(&delay, nullptr);
}

// Mapped memory comes in pieces: a filter refuses the primary arena.
void RefusePrimary() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[3])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_FIXED_NOREPLACE, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {6, program};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

}  // namespace stepper
