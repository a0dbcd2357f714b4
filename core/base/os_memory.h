// Memory from the system: address space, access to it, and the memory behind
// it. These are raw system calls (syscall.h): signal-safe, and errno stays as
// it is. Each comment says what is true after each way in which the call may
// fail.
//
// A call may fail before it has done anything, or when it has done a part.
// Under a filter or a tracer that replaces results, it may even have done
// everything. The caller owns the pages that it names, so no other thread
// depends on them, and the caller relies only on what is written here. What is
// assumed of the kernel is written here too, with the versions that were tried
// (scripts/kernels).
//
// There is one exception. If Detach succeeds, and a filter or a tracer reports
// that it has failed, the contents of the pages are lost. No kernel does that.
#ifndef AOMALLOC_CORE_BASE_OS_MEMORY_H_
#define AOMALLOC_CORE_BASE_OS_MEMORY_H_

#include <cstddef>

namespace aomalloc::os {

// Bytes in a page. Each call looks it up in the auxiliary vector (getauxval of
// the C library), without a system call.
size_t PageSize();

// Reserves address space without memory, aligned to `alignment` (a power of
// two, at least a page). It cannot be accessed. Null if there is none.
void* Reserve(size_t bytes, size_t alignment);

// The same, but accessible from the start; it reads as zero. Null if there is
// no address space, or if the system has no memory to promise.
void* Map(size_t bytes, size_t alignment);

// From now on mappings are named: /proc/PID/smaps and pmap then show what they
// are for. Not the default: it costs a system call for each mapping, and a
// seccomp filter may kill a process for it. Linux 5.17; others name nothing.
void NameMappings();

// Names pages that were just mapped. `name` has up to 79 characters.
constexpr char kHeapName[] = "aomalloc: heap";
constexpr char kDescriptorsName[] = "aomalloc: descriptors";
constexpr char kProfileName[] = "aomalloc: profile";
void Name(void* start, size_t bytes, const char* name);

// Gives address space back. If that fails, all or part of it stays, with its
// contents.
bool Unmap(void* start, size_t bytes);

// Makes pages readable and writable, and keeps their contents. It fails if the
// system has no memory to promise, or refuses the call; then any of the pages
// may have become accessible. Repeating it is harmless.
bool MakeAccessible(void* start, size_t bytes);

// Gives the memory of pages back. They read as zero afterwards, and stay
// accessible. If it fails, each page has its contents or reads as zero. It
// fails for locked memory before Linux 5.18, and where a filter or an emulator
// says that it has purged pages and has not (qemu-user before 7.1): that is
// tried once, on a page of its own.
bool Purge(void* start, size_t bytes);

// Replaces pages of any kind by new ones. These are accessible, read as zero,
// and are one mapping with their neighbours, unless the neighbours are older
// than a fork. If it fails, the old pages may be there as they were, or they
// may be unmapped, or another thread may have mapped something else in their
// place: until Linux 6.11 the kernel unmaps the old pages before it finds that
// it lacks memory.
bool Renew(void* start, size_t bytes);

// Makes pages inaccessible, as a mapping of their own. Their contents stay, and
// are there again after MakeAccessible. If it fails, any of the pages may have
// become inaccessible.
bool Forbid(void* start, size_t bytes);

// Guard makes pages inaccessible without a mapping of their own, and drops
// their contents. It needs Linux 6.13, and the kernel refuses it for locked
// memory. UndoGuard makes the pages that Guard has made inaccessible accessible
// again; they read as zero. If Guard fails, any of the pages may have become
// inaccessible; if UndoGuard fails, any may have become accessible.
bool Guard(void* start, size_t bytes);
bool UndoGuard(void* start, size_t bytes);

// Gives pages memory in one call, where touching them would take a page fault
// for each. It needs Linux 5.14. If it fails, the pages get their memory when
// they are touched.
void Populate(void* start, size_t bytes);

// Pages are moved without copying in two steps: Detach, then Attach.
//
// Detach moves the pages at `from` to an address that the kernel chooses, and
// returns it. The addresses at `from` stay accessible, and read as zero. If it
// fails, it returns null and nothing has changed: a call that names no
// destination has nothing to unmap first, and moves one mapping or nothing in
// each kernel that was tried (5.10, 6.1, 6.12, 6.18). It fails if `from` is
// more than one mapping, if it is locked, and before Linux 5.14.
void* Detach(void* from, size_t bytes);

// Attach moves the detached pages to `to`, in place of `to_bytes` that are
// mapped there. `to_bytes` is at least `bytes`; the rest reads as zero. There
// are two ways to fail. Either the detached pages are where they were, and the
// pages at `to` may be unmapped, or another thread may have mapped something
// else there: the kernel makes room first, and may refuse then. Or the move is
// done, and nothing is mapped at `detached` any more.
bool Attach(void* detached, size_t bytes, void* to, size_t to_bytes);

// Maps the pages, as Map does, if nothing is mapped there. If it fails, nothing
// has changed, and the result says whether something is mapped there.
enum class Filled { kDone, kOccupied, kRefused };
Filled FillHole(void* start, size_t bytes);

// From now on the kernel uses no huge pages there, for memory of which a little
// is used here and there. If it fails, the kernel may use some.
void KeepPagesSmall(void* start, size_t bytes);

// From now on the kernel uses huge pages there, if the system allows them to
// those that ask. If it fails, the kernel may use some.
bool UseHugePages(void* start, size_t bytes);

// Bytes of address space that the process may have (RLIMIT_AS); SIZE_MAX if
// there is no limit, or if the system refuses to answer.
size_t AddressSpaceLimit();

// From now on the kernel clears these pages in the child of a fork. It needs
// Linux 4.14. If it fails, the kernel may or may not clear them.
bool ClearInForkChild(void* start, size_t bytes);

// The end of the data segment: what sbrk(0) returns.
size_t Break();

// Sets `*resident` to the number of bytes of a page-aligned range that have
// memory behind them. False if the system refuses to answer.
bool Resident(const void* start, size_t bytes, size_t* resident);

}  // namespace aomalloc::os

#endif  // AOMALLOC_CORE_BASE_OS_MEMORY_H_
