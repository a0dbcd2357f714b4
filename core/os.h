// What the allocator asks of the system. Raw system calls: signal-safe, errno
// untouched, no libc code behind them. Nothing here is called before mmap is
// enabled, except to report an error.
#ifndef AOMALLOC_CORE_OS_H_
#define AOMALLOC_CORE_OS_H_

#include <cstddef>

namespace aomalloc::os {

// Bytes in a page. Read once per process from the auxiliary vector.
size_t PageSize();

// Reserves `bytes` of address space that cannot be accessed yet, aligned to
// `alignment` (a power of two, at least a page), and is in no core dump until
// it is committed. Null when there is none.
void* Reserve(size_t bytes, size_t alignment);

// Makes reserved pages readable; they read as zero and take no memory. False
// when the system refuses.
bool MakeReadable(void* start, size_t bytes);

// Makes reserved pages readable and writable. Repeating it is harmless. False
// when the system has no memory to promise.
bool Commit(void* start, size_t bytes);

// Gives the pages' memory back; they read as zero afterwards. False when the
// system refused and the contents are still there.
bool Purge(void* start, size_t bytes);

// Makes committed pages such that nobody can touch them, and what was in them
// is gone; and accessible again, when they read as zero. False when the system
// refused.
bool Guard(void* start, size_t bytes);
bool Unguard(void* start, size_t bytes);

// Gives committed pages memory in one go, where the system can (Linux 5.14), as
// touching each would do one by one.
void Populate(void* start, size_t bytes);

// Moves the pages at `from` over those at `to` without copying; the pages at
// `from` read as zero afterwards and stay committed. False when the system
// cannot; then nothing has changed.
bool MovePages(void* from, void* to, size_t bytes);

// Gives back address space that Reserve returned.
void Unreserve(void* start, size_t bytes);

// Bytes of address space that the process may have (RLIMIT_AS); SIZE_MAX if
// there is no limit.
size_t AddressSpaceLimit();

// True if the process has all that already, or has it in too many mappings.
bool AddressSpaceIsUsedUp();

// Has the kernel clear these pages in the child of a fork. False where it
// cannot (Linux before 4.14).
bool ClearInForkChild(void* start, size_t bytes);

// Ids of the calling process and thread, and whether a thread of this process
// is there still.
size_t ProcessId();
size_t ThreadId();
bool IsAlive(size_t process, size_t thread);

// True when the 32 bits at `address` are `value`; false too when there is no
// memory at the address any more.
bool Holds(const volatile void* address, unsigned value);

// True when there is memory at `address`, a multiple of 4.
bool IsReadable(const void* address);

// Copies `bytes` from an address at which there may be nothing. False if there
// is not, or if the system does not allow to look.
bool CopyFrom(const void* address, void* to, size_t bytes);

// The end of the data segment: what sbrk(0) returns.
size_t Break();

// Milliseconds of a clock that only goes forward, from 1; coarse and cheap.
size_t CoarseMilliseconds();

// The bytes of a page-aligned range that have memory behind them. False when
// the system does not tell.
bool Resident(const void* start, size_t bytes, size_t* resident);

// Opens a file to append to, or to write anew, making it if need be; or to read
// it. Its descriptor, or -errno. Not inherited by other programs.
int OpenToAppend(const char* path);
int OpenToReplace(const char* path);
int OpenToRead(const char* path);
void Close(int descriptor);

// A second descriptor of the same file, out of the way of the program's own, or
// -errno. Not inherited by other programs.
int Duplicate(int descriptor);

// Which file a descriptor leads to; all zero if it is not open.
struct FileId {
  size_t device = 0;
  size_t inode = 0;
  bool operator==(const FileId& other) const {
    return device == other.device && inode == other.inode;
  }
};
FileId FileOf(int descriptor);

// Writes all of `text`, unless there is an error.
void Write(int descriptor, const char* text, size_t length);

// Reads at most `length` bytes; how many, 0 at the end and if there is an
// error.
size_t Read(int descriptor, char* text, size_t length);

// Writes to stderr; errors are ignored, since there is nobody to tell.
void WriteError(const char* text, size_t length);

// Ends the process with SIGABRT, after running the program's own handler for
// it if there is one. Takes no lock, unlike abort().
[[noreturn]] void Abort();

}  // namespace aomalloc::os

#endif  // AOMALLOC_CORE_OS_H_
