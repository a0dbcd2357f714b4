#include "core/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include <cstdint>

#include "core/syscall.h"

namespace aomalloc::os {
namespace {

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4  // Linux 5.7
#endif
// Linux 6.13: guards that take no mapping of their own.
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif

long AsLong(const volatile void* p) { return reinterpret_cast<long>(p); }

// The kernel's answer to mmap and mremap: an address, or -errno.
bool IsError(long result) { return result < 0 && result >= -4095; }

int Open(const char* path, int flags) {
  return static_cast<int>(
      Syscall(SYS_openat, AT_FDCWD, AsLong(path), flags | O_CLOEXEC, 0666));
}

// What the kernel, not libc, calls struct sigaction.
struct KernelSigaction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  unsigned long mask;
};

constexpr size_t kKernelSigsetBytes = 8;

// Asks to wake nobody and move nobody if the word has the value: the kernel
// compares without a fault, and seccomp filters let futex through.
long Compare(const volatile void* address, unsigned value) {
  unsigned nobody = 0;
  return Syscall(SYS_futex, AsLong(address), FUTEX_CMP_REQUEUE_PRIVATE, 0, 0,
                 AsLong(&nobody), static_cast<long>(value));
}

}  // namespace

size_t PageSize() { return getauxval(AT_PAGESZ); }

void* Reserve(size_t bytes, size_t alignment) {
  // Without access the mapping is not charged against the overcommit limit, so
  // this needs no MAP_NORESERVE; Commit is charged, and so a request that the
  // machine can never meet fails there, as it should.
  const size_t padded = bytes + alignment - PageSize();
  if (padded < bytes) return nullptr;
  const long result = Syscall(SYS_mmap, 0, static_cast<long>(padded), PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (IsError(result)) return nullptr;
  const uintptr_t start = static_cast<uintptr_t>(result);
  const uintptr_t aligned = (start + alignment - 1) & ~(alignment - 1);
  const uintptr_t end = aligned + bytes;
  if (aligned != start) {
    Unreserve(reinterpret_cast<void*>(start), aligned - start);
  }
  if (end != start + padded) {
    Unreserve(reinterpret_cast<void*>(end), start + padded - end);
  }
  // Debuggers write what cannot be accessed into core dumps, as zeros.
  Syscall(SYS_madvise, static_cast<long>(aligned), static_cast<long>(bytes),
          MADV_DONTDUMP);
  return reinterpret_cast<void*>(aligned);
}

bool MakeReadable(void* start, size_t bytes) {
  return Syscall(SYS_mprotect, AsLong(start), static_cast<long>(bytes),
                 PROT_READ) == 0;
}

bool Commit(void* start, size_t bytes) {
  if (Syscall(SYS_mprotect, AsLong(start), static_cast<long>(bytes),
              PROT_READ | PROT_WRITE) != 0) {
    return false;
  }
  Syscall(SYS_madvise, AsLong(start), static_cast<long>(bytes), MADV_DODUMP);
  return true;
}

bool Purge(void* start, size_t bytes) {
  return Syscall(SYS_madvise, AsLong(start), static_cast<long>(bytes),
                 MADV_DONTNEED) == 0;
}

bool Guard(void* start, size_t bytes) {
  if (Syscall(SYS_madvise, AsLong(start), static_cast<long>(bytes),
              MADV_GUARD_INSTALL) == 0) {
    return true;
  }
  // Locked memory cannot be purged, nor have guards before Linux 6.15.
  if (!Purge(start, bytes)) memset(start, 0, bytes);
  return Syscall(SYS_mprotect, AsLong(start), static_cast<long>(bytes),
                 PROT_NONE) == 0;
}

bool Unguard(void* start, size_t bytes) {
  // Which kind of guard it was is not known: the memory may have been locked.
  Syscall(SYS_madvise, AsLong(start), static_cast<long>(bytes),
          MADV_GUARD_REMOVE);
  return Commit(start, bytes);
}

void Populate(void* start, size_t bytes) {
  Syscall(SYS_madvise, AsLong(start), static_cast<long>(bytes),
          MADV_POPULATE_WRITE);
}

bool MovePages(void* from, void* to, size_t bytes) {
  const long result =
      Syscall(SYS_mremap, AsLong(from), static_cast<long>(bytes),
              static_cast<long>(bytes),
              MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, AsLong(to));
  return !IsError(result);
}

void Unreserve(void* start, size_t bytes) {
  Syscall(SYS_munmap, AsLong(start), static_cast<long>(bytes));
}

size_t AddressSpaceLimit() {
  static_assert(RLIM_INFINITY == SIZE_MAX);
  rlimit limit{RLIM_INFINITY, 0};
  Syscall(SYS_prlimit64, 0, RLIMIT_AS, 0, AsLong(&limit));
  return limit.rlim_cur;
}

bool AddressSpaceIsUsedUp() {
  void* page = Reserve(PageSize(), PageSize());
  if (page != nullptr) Unreserve(page, PageSize());
  return page == nullptr;
}

bool ClearInForkChild(void* start, size_t bytes) {
  return Syscall(SYS_madvise, AsLong(start), static_cast<long>(bytes),
                 MADV_WIPEONFORK) == 0;
}

size_t ProcessId() { return static_cast<size_t>(Syscall(SYS_getpid)); }

size_t ThreadId() { return static_cast<size_t>(Syscall(SYS_gettid)); }

bool IsAlive(size_t process, size_t thread) {
  return Syscall(SYS_tgkill, static_cast<long>(process),
                 static_cast<long>(thread), 0) != -ESRCH;
}

bool Holds(const volatile void* address, unsigned value) {
  return Compare(address, value) >= 0;
}

bool IsReadable(const void* address) { return Compare(address, 0) != -EFAULT; }

bool CopyFrom(const void* address, void* to, size_t bytes) {
  const iovec local{to, bytes};
  const iovec remote{const_cast<void*>(address), bytes};
  return Syscall(SYS_process_vm_readv, Syscall(SYS_getpid), AsLong(&local), 1,
                 AsLong(&remote), 1, 0) == static_cast<long>(bytes);
}

size_t Break() { return static_cast<size_t>(Syscall(SYS_brk, 0)); }

size_t CoarseMilliseconds() {
  timespec now{};
  Syscall(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, AsLong(&now));
  return static_cast<size_t>(now.tv_sec) * 1000 +
         static_cast<size_t>(now.tv_nsec) / 1000000 + 1;
}

bool Resident(const void* start, size_t bytes, size_t* resident) {
  unsigned char pages[128] = {};
  // In steps for which `pages` suffices whatever pages are told of: an emulated
  // machine may have larger ones than the kernel below it.
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

int OpenToAppend(const char* path) {
  return Open(path, O_WRONLY | O_CREAT | O_APPEND);
}

int OpenToReplace(const char* path) {
  return Open(path, O_WRONLY | O_CREAT | O_TRUNC);
}

int OpenToRead(const char* path) { return Open(path, O_RDONLY); }

int Duplicate(int descriptor) {
  constexpr long kOutOfTheWay = 200;
  return static_cast<int>(
      Syscall(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, kOutOfTheWay));
}

FileId FileOf(int descriptor) {
  struct stat status {};
  if (Syscall(SYS_fstat, descriptor, AsLong(&status)) != 0) return FileId();
  return {status.st_dev, status.st_ino};
}

void Close(int descriptor) { Syscall(SYS_close, descriptor); }

size_t Read(int descriptor, char* text, size_t length) {
  long read;
  do {
    read =
        Syscall(SYS_read, descriptor, AsLong(text), static_cast<long>(length));
  } while (read == -EINTR);
  return read > 0 ? static_cast<size_t>(read) : 0;
}

void WriteError(const char* text, size_t length) { Write(2, text, length); }

void Write(int descriptor, const char* text, size_t length) {
  while (length > 0) {
    const long written =
        Syscall(SYS_write, descriptor, AsLong(text), static_cast<long>(length));
    if (written == -EINTR) continue;
    if (written <= 0) return;
    text += written;
    length -= static_cast<size_t>(written);
  }
}

void Abort() {
  // Let SIGABRT through even if the program blocks it, as abort() does.
  const unsigned long set = 1UL << (SIGABRT - 1);
  Syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, AsLong(&set), 0, kKernelSigsetBytes);
  const long pid = Syscall(SYS_getpid);
  const long tid = Syscall(SYS_gettid);
  Syscall(SYS_tgkill, pid, tid, SIGABRT);
  // The program ignores the signal, or its handler returned.
  const KernelSigaction by_default{};
  Syscall(SYS_rt_sigaction, SIGABRT, AsLong(&by_default), 0,
          kKernelSigsetBytes);
  Syscall(SYS_tgkill, pid, tid, SIGABRT);
  __builtin_trap();
}

}  // namespace aomalloc::os
