#include "core/base/os_memory.h"

#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cstdint>

#include "core/base/atomics.h"
#include "core/base/syscall.h"

namespace aomalloc::os {
namespace {

// Constants that the headers of Debian 12 or of older systems lack.
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000  // Linux 4.17
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4  // Linux 5.7
#endif
#ifndef MADV_COLD
#define MADV_COLD 20  // Linux 5.4
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24  // Linux 5.18
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102  // Linux 6.13
#define MADV_GUARD_REMOVE 103
#endif

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41  // Linux 5.17
#define PR_SET_VMA_ANON_NAME 0
#endif

AtomicWord names_mappings;

constexpr long kAccessible = PROT_READ | PROT_WRITE;
constexpr long kOwn = MAP_PRIVATE | MAP_ANONYMOUS;

// mmap and mremap return an address, or -errno.
bool IsError(long result) { return result < 0 && result >= -4095; }

long MmapAt(uintptr_t start, size_t bytes, long access, long flags) {
  return Syscall(SYS_mmap, static_cast<long>(start), static_cast<long>(bytes),
                 access, flags, -1, 0);
}

long Advise(void* start, size_t bytes, long advice) {
  return Syscall(SYS_madvise, AsLong(start), static_cast<long>(bytes), advice);
}

bool Protect(void* start, size_t bytes, long access) {
  return Syscall(SYS_mprotect, AsLong(start), static_cast<long>(bytes),
                 access) == 0;
}

void* MapAligned(size_t bytes, size_t alignment, long access) {
  const size_t padded = bytes + alignment - PageSize();
  if (padded < bytes) return nullptr;
  const long result = MmapAt(0, padded, access, kOwn);
  if (IsError(result)) return nullptr;
  const uintptr_t start = static_cast<uintptr_t>(result);
  const uintptr_t aligned = (start + alignment - 1) & ~(alignment - 1);
  const uintptr_t end = aligned + bytes;
  if (aligned != start) {
    Unmap(reinterpret_cast<void*>(start), aligned - start);
  }
  if (end != start + padded) {
    Unmap(reinterpret_cast<void*>(end), start + padded - end);
  }
  return reinterpret_cast<void*>(aligned);
}

bool Drop(void* start, size_t bytes) {
  return Advise(start, bytes, MADV_DONTNEED) == 0 ||
         Advise(start, bytes, MADV_DONTNEED_LOCKED) == 0;
}

// False if the system says that it purges, and does not. Who is interrupted
// here loses a page.
bool PurgesIndeed() {
  enum : AO_t { kUnknown, kDoes, kDoesNot };
  static AtomicWord known = kUnknown;
  if (LoadRelaxed(&known) != kUnknown) return LoadRelaxed(&known) == kDoes;
  void* page = Map(PageSize(), PageSize());
  bool does = true;  // unless there is a sign that it does not
  if (page != nullptr) {
    auto* word = static_cast<AtomicWord*>(page);
    StoreRelaxed(word, 1);
    does = !Drop(page, PageSize()) || LoadRelaxed(word) == 0;
    Unmap(page, PageSize());
  }
  StoreRelaxed(&known, does ? kDoes : kDoesNot);
  return does;
}

}  // namespace

size_t PageSize() { return getauxval(AT_PAGESZ); }

void* Reserve(size_t bytes, size_t alignment) {
  return MapAligned(bytes, alignment, PROT_NONE);
}

void* Map(size_t bytes, size_t alignment) {
  return MapAligned(bytes, alignment, kAccessible);
}

void NameMappings() { StoreRelaxed(&names_mappings, 1); }

void Name(void* start, size_t bytes, const char* name) {
  if (LoadRelaxed(&names_mappings) == 0) return;
  Syscall(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, AsLong(start),
          static_cast<long>(bytes), AsLong(name));
}

bool Unmap(void* start, size_t bytes) {
  return Syscall(SYS_munmap, AsLong(start), static_cast<long>(bytes)) == 0;
}

bool MakeAccessible(void* start, size_t bytes) {
  return Protect(start, bytes, kAccessible);
}

bool Purge(void* start, size_t bytes) {
  return Drop(start, bytes) && PurgesIndeed();
}

bool Renew(void* start, size_t bytes) {
  if (IsError(MmapAt(reinterpret_cast<uintptr_t>(start), bytes, kAccessible,
                     kOwn | MAP_FIXED))) {
    return false;
  }
  Name(start, bytes, kHeapName);
  return true;
}

bool Forbid(void* start, size_t bytes) {
  return Protect(start, bytes, PROT_NONE);
}

bool Guard(void* start, size_t bytes) {
  return Advise(start, bytes, MADV_GUARD_INSTALL) == 0;
}

bool UndoGuard(void* start, size_t bytes) {
  return Advise(start, bytes, MADV_GUARD_REMOVE) == 0;
}

void Populate(void* start, size_t bytes) {
  Advise(start, bytes, MADV_POPULATE_WRITE);
}

void* Detach(void* from, size_t bytes) {
  // If locked pages are moved, the kernel unlocks all of their mapping. It
  // refuses the first advice for locked pages, so these are not moved.
  //
  // Linux 5.7 to 5.10 have a fault: when pages are moved out of the middle of a
  // mapping, the kernel counts the mapping behind them as promised memory. If
  // that is large, fork fails from then on. The second advice is newer than the
  // fault, so kernels that have the fault refuse it.
  if (Advise(from, PageSize(), MADV_COLD) != 0 ||
      Advise(from, PageSize(), MADV_POPULATE_READ) != 0) {
    return nullptr;
  }
  const long result =
      Syscall(SYS_mremap, AsLong(from), static_cast<long>(bytes),
              static_cast<long>(bytes), MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
  return IsError(result) ? nullptr : reinterpret_cast<void*>(result);
}

bool Attach(void* detached, size_t bytes, void* to, size_t to_bytes) {
  return !IsError(Syscall(SYS_mremap, AsLong(detached),
                          static_cast<long>(bytes), static_cast<long>(to_bytes),
                          MREMAP_MAYMOVE | MREMAP_FIXED, AsLong(to)));
}

Filled FillHole(void* start, size_t bytes) {
  const long result = MmapAt(reinterpret_cast<uintptr_t>(start), bytes,
                             kAccessible, kOwn | MAP_FIXED_NOREPLACE);
  if (result == AsLong(start)) return Filled::kDone;
  // Before Linux 4.17 the kernel takes the address for a hint.
  if (!IsError(result)) Unmap(reinterpret_cast<void*>(result), bytes);
  return IsError(result) && result != -EEXIST ? Filled::kRefused
                                              : Filled::kOccupied;
}

void KeepPagesSmall(void* start, size_t bytes) {
  Advise(start, bytes, MADV_NOHUGEPAGE);
}

bool UseHugePages(void* start, size_t bytes) {
  return Advise(start, bytes, MADV_HUGEPAGE) == 0;
}

size_t AddressSpaceLimit() {
  static_assert(RLIM_INFINITY == SIZE_MAX);
  rlimit limit{RLIM_INFINITY, 0};
  Syscall(SYS_prlimit64, 0, RLIMIT_AS, 0, AsLong(&limit));
  return limit.rlim_cur;
}

bool ClearInForkChild(void* start, size_t bytes) {
  // The kernel refuses an address in the middle of a page. So it was not a
  // filter that answered the other call.
  return Advise(start, bytes, MADV_WIPEONFORK) == 0 &&
         Advise(static_cast<char*>(start) + 1, bytes, MADV_WIPEONFORK) ==
             -EINVAL;
}

size_t Break() { return static_cast<size_t>(Syscall(SYS_brk, 0)); }

bool Resident(const void* start, size_t bytes, size_t* resident) {
  unsigned char pages[128] = {};
  // `pages` is large enough for a step even if mincore counts pages of 4 KiB:
  // on an emulated machine PageSize may be larger than the kernel's page.
  constexpr size_t kStep = sizeof(pages) * 4096;
  const char* at = static_cast<const char*>(start);
  const size_t page = PageSize();
  *resident = 0;
  while (bytes > 0) {
    const size_t step = bytes < kStep ? bytes : kStep;
    if (Syscall(SYS_mincore, AsLong(at), static_cast<long>(step),
                AsLong(pages)) != 0) {
      return false;
    }
    for (size_t i = 0; i < (step + page - 1) / page; ++i) {
      *resident += (pages[i] & 1) * page;
    }
    at += step;
    bytes -= step;
  }
  return true;
}

}  // namespace aomalloc::os
