#include "test/abandoned_operations/entry_points.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test/abandoned_operations/common.h"

extern "C" {
// Only our library has them.
void* AO_malloc(size_t size) __attribute__((weak));
void AO_free(void* ptr) __attribute__((weak));
// The C++ runtime's, if there were one.
void* _Znwm(size_t size) __attribute__((weak));
void _ZdlPv(void* ptr) __attribute__((weak));
}

namespace abandon {
namespace {

void* in;
void* volatile out;

// A class that nothing else uses, and more blocks than a slab has.
constexpr size_t kRare = 1100;
void* many[60];

size_t Large() { return IsMapped() ? 300000 : 20000; }

void Nothing() {}
void Warm() { free(malloc(64)); }
void TakeSmall() { in = malloc(64); }
void TakeLarge() { in = malloc(Large()); }
void TakeLargeBeforeAnother() { in = malloc(Large()), out = malloc(Large()); }
// Frees of so much purge at once.
void TakeHuge() { in = malloc(size_t{80} << 20); }
void TakeMany() {
  for (void*& block : many) block = malloc(kRare);
}
void GiveMany() {
  for (void* block : many) free(block);
}
void TakeAndGiveMany() { TakeMany(), GiveMany(); }

void TakeFromOther() {
  Warm();
  RunInThread([](void*) -> void* {
    in = malloc(64);
    return nullptr;
  });
}
void LetOtherFree() {
  TakeMany();
  RunInThread([](void*) -> void* {
    GiveMany();
    return nullptr;
  });
}
// Leaves heaps of threads that vanished; more than there are at the start.
void LeaveDead() {
  for (int i = 0; i < 6; ++i) {
    RunInThread([](void*) -> void* {
      out = malloc(64);
      syscall(SYS_exit, 0);
      return nullptr;
    });
  }
}
void UseUp() {
  if (IsMapped()) return;
  for (size_t size = size_t{1} << 20; size >= 16; size /= 2) {
    while (malloc(size) != nullptr) {
    }
  }
}

void Malloc() { out = malloc(64); }
void MallocRare() { out = malloc(kRare); }
void MallocLarge() { out = malloc(Large()); }
void Free() { free(in); }
void Calloc() { out = calloc(10, 20); }
void CallocLarge() { out = calloc(1, Large()); }
void Realloc() { out = realloc(in, 1000); }
void ReallocShrink() { out = realloc(in, Large() / 4); }
void ReallocMore() { out = realloc(in, 2 * Large()); }
void AlignedAlloc() { out = aligned_alloc(256, 256); }
void AlignedAllocLarge() { out = aligned_alloc(8192, Large()); }
void PosixMemalign() {
  static void* aligned;
  if (posix_memalign(&aligned, 64, 100) != 0) abort();
}
void UsableSize() { out = reinterpret_cast<void*>(malloc_usable_size(in)); }
void TrimAll() { malloc_trim(0); }
void Info() { mallinfo2(); }
void AoMalloc() {
  if (AO_malloc != nullptr) out = AO_malloc(64);
}
void AoFree() {
  if (AO_free != nullptr) AO_free(in);
}
void New() {
  if (_Znwm != nullptr) out = _Znwm(64);
}
void Delete() {
  if (_ZdlPv != nullptr) _ZdlPv(in);
}

void CallSmall() { free(malloc(48)); }
void CallRare() { free(malloc(kRare)); }
void CallLarge() { free(malloc(Large())); }
void CallCalloc() { free(calloc(1, kRare)); }
void CallRealloc() { free(realloc(malloc(kRare), Large())); }
void CallAligned() { free(aligned_alloc(4096, 4096)); }

}  // namespace

void RunInThread(void* (*function)(void*)) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, function, nullptr) != 0) {
    Fail("no thread");
  }
  pthread_join(thread, nullptr);
}

const char* const kEntryNames[kNumEntries] = {"malloc",
                                              "free",
                                              "calloc",
                                              "realloc",
                                              "aligned_alloc",
                                              "posix_memalign",
                                              "malloc_usable_size",
                                              "malloc_trim",
                                              "mallinfo2",
                                              "AO_malloc",
                                              "AO_free",
                                              "operator new",
                                              "operator delete"};

const Case kCases[] = {
    // The first of the process, of a thread, of a thread after others vanished.
    {kMalloc, Nothing, Malloc},
    {kMalloc, Nothing, MallocLarge},
    {kMalloc, Warm, Malloc, true},
    {kMalloc, LeaveDead, Malloc, true},
    // Any other; a new slab; slabs that fill up; frees of others brought home.
    {kMalloc, Warm, Malloc},
    {kMalloc, Warm, MallocRare},
    {kMalloc, Warm, TakeMany},
    {kMalloc, LetOtherFree, TakeMany},
    {kMalloc, Warm, MallocLarge},
    {kMalloc, UseUp, MallocLarge},
    // Also of another's block, of whole slabs, of a large one, with a purge.
    {kFree, TakeSmall, Free},
    {kFree, TakeFromOther, Free},
    {kFree, TakeMany, GiveMany},
    {kFree, TakeLarge, Free},
    {kFree, TakeHuge, Free},
    {kCalloc, Warm, Calloc},
    {kCalloc, Warm, CallocLarge},
    // Of a small block; in place; and by moving pages.
    {kRealloc, TakeSmall, Realloc},
    {kRealloc, TakeSmall, ReallocMore},
    {kRealloc, TakeLarge, ReallocShrink},
    {kRealloc, TakeLarge, ReallocMore},
    {kRealloc, TakeLargeBeforeAnother, ReallocMore},
    {kAlignedAlloc, Warm, AlignedAlloc},
    {kAlignedAlloc, Warm, AlignedAllocLarge},
    {kPosixMemalign, Warm, PosixMemalign},
    {kUsableSize, TakeSmall, UsableSize},
    {kTrim, TakeAndGiveMany, TrimAll},
    {kMallinfo, TakeMany, Info},
    {kAoMalloc, Nothing, AoMalloc},
    {kAoMalloc, Warm, AoMalloc},
    {kAoFree, TakeSmall, AoFree},
    {kAoFree, TakeLarge, AoFree},
    {kNew, Nothing, New},
    {kNew, Warm, New},
    {kDelete, TakeSmall, Delete},
    {kDelete, TakeLarge, Delete},
};

const size_t kNumCases = sizeof kCases / sizeof kCases[0];

const Case kAnyTime[] = {
    {kMalloc, Nothing, CallSmall},    {kMalloc, Nothing, CallRare},
    {kMalloc, Nothing, CallLarge},    {kCalloc, Nothing, CallCalloc},
    {kRealloc, Nothing, CallRealloc}, {kAlignedAlloc, Nothing, CallAligned},
    {kTrim, Nothing, TrimAll},        {kMallinfo, Nothing, Info},
};
const size_t kNumAnyTime = sizeof kAnyTime / sizeof kAnyTime[0];

}  // namespace abandon
