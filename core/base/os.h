// The system calls of the allocator, except those for memory (os_memory.h).
//
// They are raw system calls (syscall.h): signal-safe, lock-free, and errno
// stays as it is. Of the C library they use memcpy, and getauxval in IsSecure.
// Any thread and handler may call them. A static heap in normal operation calls
// none of them: without mmap they serve messages, reports, and pointers that
// are not blocks of this allocator.
//
// A seccomp filter may refuse any system call, with any error. So an error
// counts as an answer only if the same call gives the right answer about
// something that is known. Otherwise the functions below report that nothing is
// known.
#ifndef AOMALLOC_CORE_BASE_OS_H_
#define AOMALLOC_CORE_BASE_OS_H_

#include <cstddef>

namespace aomalloc::os {

// Ids of the calling process and thread; 0 if the system refuses.
size_t ProcessId();
size_t ThreadId();

// True if that thread of this process is known to have ended. `process` is the
// calling process.
bool HasEnded(size_t process, size_t thread);

// Where the list of robust mutexes is that the C library has registered for a
// thread of this process, or for the calling one (0); null if there is none
// (liveness.h). The kernel writes the answer, so a refusal that looks like
// success is none.
const char* RobustListOf(size_t thread);

// True if the C library has registered the calling thread's restartable
// sequences (glibc does since 2.35), and the kernel still has them
// (liveness.h). Nothing changes by asking. Two calls have to fail in different
// ways, so no refusal is taken for the answer.
bool HasRestartableSequences();

// For a page that a failing system call may have unmapped: Mark writes a
// constant to its first word before the call. IsMarked is true if the word is
// known to be there still.
void Mark(void* page);
bool IsMarked(const void* page);

// True if nobody handles SIGSYS, as sandboxes do that trap calls. The kernel
// writes the answer, so a refusal that looks like success is none.
bool TrapsNoCall();

// True if the 32 bits at `address`, a multiple of 4, are known to be `value`.
// It need not be known whether the address can be read.
bool Holds(const volatile void* address, unsigned value);
// The same, if they are known not to be `value`: they differ, or the address
// cannot be read.
bool Differs(const volatile void* address, unsigned value);

// MayLook is true if the kernel compares words for this process, which a filter
// may refuse. IsReadable is true if `address`, a multiple of 4, can be read;
// its answer counts only if MayLook is true.
bool MayLook();
bool IsReadable(const void* address);

// Copies at most a page from an address that may not be mapped. False if it is
// not, or if the system refuses to look. Where process_vm_readv is refused, the
// pages must not be unmapped during the call.
bool CopyFrom(const void* address, void* to, size_t bytes);

// Milliseconds of a monotonic clock, as exact as the kernel's tick, plus 1: so
// never 0. 1 if the system refuses.
size_t CoarseMilliseconds();

// Opens a file to append to it, or to replace its contents, and creates it if
// it does not exist. Returns a descriptor that is closed on exec, or -errno.
//
// Another user who can write to the folder may have put anything there. So
// nothing is written, created or emptied through a link: the result is -ELOOP
// for a symbolic link, and -EMLINK for a file that has another name too. And
// nothing waits: the result is -ENXIO for a FIFO without a reader, and Write
// gives up on a reader that has stopped.
int OpenToAppend(const char* path);
int OpenToReplace(const char* path);

// Opens a file to read it. Returns a descriptor that is closed on exec, or
// -errno. Follows links, and waits at a FIFO until it has a writer.
int OpenToRead(const char* path);

void Close(int descriptor);

// Returns a second descriptor of the same open file, closed on exec, or -errno.
// It is 200 or higher, or at least 50, so that the program does not notice it.
// A program that may have no such descriptor (RLIMIT_NOFILE) gets an error.
int Duplicate(int descriptor);

// The file that a descriptor leads to. FileOf returns all zero if the
// descriptor is not open.
struct FileId {
  size_t device = 0;
  size_t inode = 0;
  bool operator==(const FileId& other) const {
    return device == other.device && inode == other.inode;
  }
};
FileId FileOf(int descriptor);

// Copies the target of a symbolic link, without a zero at its end, and returns
// its length. It is cut off after `size` bytes. 0 on an error.
size_t ReadLink(const char* path, char* text, size_t size);

// Writes all of `text`. False on an error, or if a non-blocking descriptor took
// nothing for a second. Raises neither SIGPIPE nor SIGXFSZ. On a blocking
// descriptor, such as most programs' standard error, it waits for the reader:
// the setting belongs to the open file, which other processes share.
bool Write(int descriptor, const char* text, size_t length);

// Reads at most `length` bytes. Returns their number; 0 at the end of the file
// and on an error.
size_t Read(int descriptor, char* text, size_t length);

// Writes to stderr, with no system call but write, which seccomp's strict mode
// allows. Ignores errors. May raise SIGPIPE.
void WriteError(const char* text, size_t length);

// What a signal leads to, as the kernel has it: with the code that the C
// library has a handler return to. By default, if all is zero.
struct SignalAction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  unsigned long mask;
};
// Read it and set it; false if the system refuses. sigaction of newer C
// libraries takes a lock for SIGABRT, and a thread that stopped may have it.
bool GetAction(int signal, SignalAction* action);
bool SetAction(int signal, const SignalAction& action);

// True if the program has more rights than its caller (AT_SECURE). Then the
// caller must not learn anything about it.
bool IsSecure();

// Ends the process with SIGABRT. If the program has a handler for it, the
// handler runs first. Takes no lock, unlike abort() of the C library.
[[noreturn]] void Abort();

}  // namespace aomalloc::os

#endif  // AOMALLOC_CORE_BASE_OS_H_
