#include "core/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "core/base/syscall.h"

// Of glibc, since 2.35 (sys/rseq.h): where the area of a thread lies, from the
// thread pointer on, and how large it is; 0 if it is not registered.
extern "C" {
extern const ptrdiff_t __rseq_offset __attribute__((weak));   // NOLINT
extern const unsigned int __rseq_size __attribute__((weak));  // NOLINT
}

namespace aomalloc::os {
namespace {

int Open(const char* path, int flags) {
  return static_cast<int>(
      Syscall(SYS_openat, AT_FDCWD, AsLong(path), flags | O_CLOEXEC, 0666));
}

constexpr size_t kKernelSigsetBytes = 8;

// A value with which no page is likely to begin.
constexpr unsigned kMark = 0x5ea1ed02;

// Opens whatever is at `path`, to write to it: see OpenToAppend in os.h.
int OpenToWrite(const char* path, int flags, bool replace) {
  const int descriptor = Open(
      path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags);
  if (descriptor < 0) return descriptor;
  struct stat status {};
  long error = Syscall(SYS_fstat, descriptor, AsLong(&status));
  if (error == 0 && S_ISREG(status.st_mode)) {
    if (status.st_nlink > 1) {
      error = -EMLINK;
    } else if (replace) {
      error = Syscall(SYS_ftruncate, descriptor, 0);
    }
  }
  if (error == 0) return descriptor;
  Close(descriptor);
  return static_cast<int>(error);
}

// Writes some of `text`. Returns the number of bytes, or -errno.
long WriteSome(int descriptor, const char* text, size_t length) {
  long written;
  do {
    written =
        Syscall(SYS_write, descriptor, AsLong(text), static_cast<long>(length));
  } while (written == -EINTR);
  return written;
}

// True if the descriptor can take more within a second.
bool TakesMore(int descriptor) {
  pollfd poll{descriptor, POLLOUT, 0};
  timespec left{1, 0};  // ppoll subtracts what it has waited
  long ready;
  do {
    ready = Syscall(SYS_ppoll, AsLong(&poll), 1, AsLong(&left));
  } while (ready == -EINTR);
  return ready > 0;
}

// While an object of this class lives, this thread gets no SIGPIPE and SIGXFSZ:
// it blocks them, and removes those that its writes raised.
class WithoutWriteSignals {
 public:
  WithoutWriteSignals() {
    blocked_ = Syscall(SYS_rt_sigprocmask, SIG_BLOCK, AsLong(&kSet),
                       AsLong(&mask_), kKernelSigsetBytes) == 0;
    told_ =
        Syscall(SYS_rt_sigpending, AsLong(&pending_), kKernelSigsetBytes) == 0;
  }
  ~WithoutWriteSignals() {
    if (!blocked_) return;
    // Signals that were pending before are the program's. If the pending
    // signals are not known, all stay.
    const unsigned long ours = kSet & ~pending_;
    const timespec now{};
    while (told_ && Syscall(SYS_rt_sigtimedwait, AsLong(&ours), 0, AsLong(&now),
                            kKernelSigsetBytes) > 0) {
    }
    Syscall(SYS_rt_sigprocmask, SIG_SETMASK, AsLong(&mask_), 0,
            kKernelSigsetBytes);
  }
  WithoutWriteSignals(const WithoutWriteSignals&) = delete;
  WithoutWriteSignals& operator=(const WithoutWriteSignals&) = delete;

 private:
  static constexpr unsigned long kSet =
      1UL << (SIGPIPE - 1) | 1UL << (SIGXFSZ - 1);

  bool blocked_;
  bool told_;
  unsigned long mask_ = 0;
  unsigned long pending_ = 0;
};

// Compares the word with the value by a futex call that wakes and moves no
// waiter. The kernel reads without a fault: -EFAULT for memory that cannot be
// read, -EAGAIN for another value. Seccomp filters let futex through.
long Compare(const volatile void* address, unsigned value) {
  unsigned nobody = 0;
  return Syscall(SYS_futex, AsLong(address), FUTEX_CMP_REQUEUE_PRIVATE, 0, 0,
                 AsLong(&nobody), static_cast<long>(value));
}

// Signal 0: sends none, but checks whether the thread is there.
long Probe(size_t process, size_t thread) {
  return Syscall(SYS_tgkill, static_cast<long>(process),
                 static_cast<long>(thread), 0);
}

size_t OrZero(long id) { return id > 0 ? static_cast<size_t>(id) : 0; }

}  // namespace

size_t ProcessId() { return OrZero(Syscall(SYS_getpid)); }

size_t ThreadId() { return OrZero(Syscall(SYS_gettid)); }

bool HasEnded(size_t process, size_t thread) {
  return Probe(process, thread) == -ESRCH && Probe(process, ThreadId()) == 0;
}

const char* RobustListOf(size_t thread) {
  const char* head = nullptr;
  size_t bytes = 0;
  Syscall(SYS_get_robust_list, static_cast<long>(thread), AsLong(&head),
          AsLong(&bytes));
  return head;
}

bool HasRestartableSequences() {
  if (&__rseq_size == nullptr || __rseq_size == 0) return false;
  const char* area =
      static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
  // The size that glibc registers: at least what the first kernels knew.
  constexpr unsigned kLeastBytes = 32;
  const long bytes = std::max(__rseq_size, kLeastBytes);
  constexpr long kUnregister = 1;
  constexpr long kWrongSignature = 0;
  // No area of a program. It has the alignment that one must have.
  constexpr long kNowhere = -64;
  return Syscall(SYS_rseq, AsLong(area), bytes, kUnregister, kWrongSignature) ==
             -EPERM &&
         Syscall(SYS_rseq, kNowhere, bytes, 0, kWrongSignature) == -EINVAL;
}

bool TrapsNoCall() {
  SignalAction action{};
  action.flags = ~0UL;
  GetAction(SIGSYS, &action);
  return action.handler == SIG_DFL && action.flags != ~0UL;
}

void Mark(void* page) { *static_cast<volatile unsigned*>(page) = kMark; }

bool IsMarked(const void* page) { return Holds(page, kMark); }

bool Holds(const volatile void* address, unsigned value) {
  return Compare(address, value) == 0 && MayLook();
}

bool Differs(const volatile void* address, unsigned value) {
  const long answer = Compare(address, value);
  return (answer == -EAGAIN || answer == -EFAULT) && MayLook();
}

bool MayLook() {
  const unsigned known = 1;
  return Compare(&known, known) == 0 && Compare(&known, known + 1) == -EAGAIN;
}

bool IsReadable(const void* address) {
  const long answer = Compare(address, 0);
  return answer == 0 || answer == -EAGAIN;
}

bool CopyFrom(const void* address, void* to, size_t bytes) {
  const iovec local{to, bytes};
  const iovec remote{const_cast<void*>(address), bytes};
  // The thread's id: that of a first thread which has ended names no memory.
  const long copied = Syscall(SYS_process_vm_readv, Syscall(SYS_gettid),
                              AsLong(&local), 1, AsLong(&remote), 1, 0);
  if (copied >= 0 || copied == -EFAULT) {
    return copied == static_cast<long>(bytes);
  }
  // Filters of containers refuse that call. Then look first, and read.
  const auto first = reinterpret_cast<uintptr_t>(address) & ~uintptr_t{3};
  const auto last =
      (reinterpret_cast<uintptr_t>(address) + bytes - 1) & ~uintptr_t{3};
  if (!MayLook() || !IsReadable(reinterpret_cast<void*>(first)) ||
      !IsReadable(reinterpret_cast<void*>(last))) {
    return false;
  }
  memcpy(to, address, bytes);
  return true;
}

size_t CoarseMilliseconds() {
  timespec now{};
  Syscall(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, AsLong(&now));
  return static_cast<size_t>(now.tv_sec) * 1000 +
         static_cast<size_t>(now.tv_nsec) / 1000000 + 1;
}

int OpenToAppend(const char* path) {
  return OpenToWrite(path, O_APPEND, /*replace=*/false);
}

int OpenToReplace(const char* path) {
  return OpenToWrite(path, 0, /*replace=*/true);
}

int OpenToRead(const char* path) { return Open(path, O_RDONLY); }

int Duplicate(int descriptor) {
  long second = -EMFILE;
  for (const long least : {200, 50}) {
    second = Syscall(SYS_fcntl, descriptor, F_DUPFD_CLOEXEC, least);
    if (second >= 0) break;
  }
  return static_cast<int>(second);
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

size_t ReadLink(const char* path, char* text, size_t size) {
  const long length = Syscall(SYS_readlinkat, AT_FDCWD, AsLong(path),
                              AsLong(text), static_cast<long>(size));
  return length > 0 ? static_cast<size_t>(length) : 0;
}

bool Write(int descriptor, const char* text, size_t length) {
  const WithoutWriteSignals none;
  while (length > 0) {
    const long written = WriteSome(descriptor, text, length);
    if (written == -EAGAIN && TakesMore(descriptor)) continue;
    if (written <= 0) return false;
    text += written;
    length -= static_cast<size_t>(written);
  }
  return true;
}

void WriteError(const char* text, size_t length) {
  while (length > 0) {
    const long written = WriteSome(2, text, length);
    if (written <= 0) return;
    text += written;
    length -= static_cast<size_t>(written);
  }
}

bool GetAction(int signal, SignalAction* action) {
  return Syscall(SYS_rt_sigaction, signal, 0, AsLong(action),
                 kKernelSigsetBytes) == 0;
}

bool SetAction(int signal, const SignalAction& action) {
  return Syscall(SYS_rt_sigaction, signal, AsLong(&action), 0,
                 kKernelSigsetBytes) == 0;
}

bool IsSecure() { return getauxval(AT_SECURE) != 0; }

void Abort() {
  // Let SIGABRT through even if the program blocks it, as abort() does.
  const unsigned long set = 1UL << (SIGABRT - 1);
  Syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, AsLong(&set), 0, kKernelSigsetBytes);
  const long pid = Syscall(SYS_getpid);
  const long tid = Syscall(SYS_gettid);
  Syscall(SYS_tgkill, pid, tid, SIGABRT);
  // Still here: the program ignores the signal, or its handler has returned.
  SetAction(SIGABRT, SignalAction{});
  Syscall(SYS_tgkill, pid, tid, SIGABRT);
  __builtin_trap();
}

}  // namespace aomalloc::os
