#include "test/weak/system.h"

#include <pthread.h>
#include <sys/mman.h>

#include "core/base/atomics.h"
#include "core/base/barrier.h"
#include "core/base/os.h"
#include "core/base/os_memory.h"
#include "core/base/output.h"
#include "core/profile/stack_walk.h"
#include "test/weak/model.h"

namespace aomalloc {
namespace {

using weak::Expect;
using weak::System;

System* the_system = nullptr;
AtomicWord kernel_lock;
constexpr uintptr_t kSpace = uintptr_t{1} << 44;  // where mappings are
constexpr uintptr_t kSpaceBytes = uintptr_t{64} << 20;

class InKernel {
 public:
  InKernel() {
    weak::Exchange(&kernel_lock, Sum, 1,
                   {__FILE__, __LINE__, "InKernel", "kernel", weak::kFull});
  }
  ~InKernel() { weak::HandOn(&kernel_lock); }
};

uintptr_t AddressOf(const void* p) { return reinterpret_cast<uintptr_t>(p); }

// Writes to the first word of some of the pages.
void Touch(void* start, size_t bytes) {
  const size_t step = bytes <= 4096      ? 16
                      : bytes <= 1 << 16 ? 1024
                                         : size_t{1} << 16;
  for (size_t at = 0; at < bytes; at += step) {
    *reinterpret_cast<AO_t*>(static_cast<char*>(start) + at) = 0;
  }
}

bool IsMapped(uintptr_t start, uintptr_t end) {
  for (const System::Range& range : the_system->ranges) {
    if (range.start < end && start < range.end) return true;
  }
  return false;
}

void AddRange(uintptr_t start, uintptr_t end) {
  if (start >= end) return;
  for (System::Range& range : the_system->ranges) {
    if (range.start != range.end) continue;
    range = {start, end};
    return;
  }
  Expect(false, "the case needs more ranges");
}

// The memory is there from one execution to the next, and what was written to
// it is undone.
void AddMemory(void* start, size_t bytes) {
  constexpr uintptr_t kPage = 4096;
  const uintptr_t from = AddressOf(start) & ~(kPage - 1);
  const uintptr_t to = (AddressOf(start) + bytes + kPage - 1) & ~(kPage - 1);
  mmap(reinterpret_cast<void*>(from), to - from, PROT_READ | PROT_WRITE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
       0);
  AddRange(AddressOf(start), AddressOf(start) + bytes);
  Touch(start, bytes);
}

}  // namespace

void weak::System::Use() { the_system = this; }

namespace os {

size_t PageSize() { return 4096; }

void* Reserve(size_t bytes, size_t alignment) { return Map(bytes, alignment); }

void* Map(size_t bytes, size_t alignment) {
  const InKernel lock;
  uintptr_t start = kSpace;
  while (IsMapped(start, start + bytes)) start += alignment;
  if (start + bytes > kSpace + kSpaceBytes) return nullptr;
  void* mapped = reinterpret_cast<void*>(start);
  AddMemory(mapped, bytes);
  return mapped;
}

Filled FillHole(void* start, size_t bytes) {
  const InKernel lock;
  if (IsMapped(AddressOf(start), AddressOf(start) + bytes)) {
    return Filled::kOccupied;
  }
  AddMemory(start, bytes);
  return Filled::kDone;
}

bool Unmap(void* start, size_t bytes) {
  const InKernel lock;
  Touch(start, bytes);
  const uintptr_t from = AddressOf(start);
  const uintptr_t to = from + bytes;
  for (System::Range& range : the_system->ranges) {
    if (range.start >= to || from >= range.end) continue;
    const System::Range old = range;
    range = {0, 0};
    AddRange(old.start, from);
    AddRange(to, old.end);
  }
  return true;
}

bool Purge(void* start, size_t bytes) {
  const InKernel lock;
  Touch(start, bytes);
  return true;
}

bool HasEnded(size_t, size_t thread) {
  return weak::HasStopped(static_cast<int>(thread));
}

size_t ProcessId() { return 1; }
size_t ThreadId() { return static_cast<size_t>(weak::Self()); }
const char* RobustListOf(size_t) {
  static const char list = 0;
  return &list;
}
bool HasRestartableSequences() { return false; }
bool ClearInForkChild(void*, size_t) { return true; }
size_t CoarseMilliseconds() { return 1000; }
size_t AddressSpaceLimit() { return the_system->address_space; }
bool IsSecure() { return false; }
void Name(void*, size_t, const char*) {}
void KeepPagesSmall(void*, size_t) {}
bool UseHugePages(void*, size_t) { return false; }
void Populate(void*, size_t) {}
bool Forbid(void*, size_t) { return false; }
bool Differs(const volatile void*, unsigned) { return false; }
bool Holds(const volatile void*, unsigned) { return false; }

void Abort() {
  Expect(false, "the allocator aborts");
  __builtin_trap();
}
void WriteError(const char* text, size_t) { Expect(false, text); }

// What no case does.
#define NEVER Expect(false, "a system call that no case makes")
bool Renew(void*, size_t) {
  NEVER;
  return false;
}
bool MakeAccessible(void*, size_t) {
  NEVER;
  return false;
}
bool Guard(void*, size_t) {
  NEVER;
  return false;
}
bool UndoGuard(void*, size_t) {
  NEVER;
  return false;
}
void* Detach(void*, size_t) {
  NEVER;
  return nullptr;
}
bool Attach(void*, size_t, void*, size_t) {
  NEVER;
  return false;
}
void Mark(void*) { NEVER; }
bool IsMarked(const void*) {
  NEVER;
  return false;
}
bool IsReadable(const void*) {
  NEVER;
  return false;
}
bool MayLook() {
  NEVER;
  return false;
}
int OpenToRead(const char*) { return -1; }
size_t Read(int, char*, size_t) {
  NEVER;
  return 0;
}
void Close(int) { NEVER; }

}  // namespace os

void barrier::Prepare() {}
bool barrier::PassAll() {
  weak::PassAll();
  return true;
}

Output& Output::Text(const char*) { return *this; }
void Output::Flush() {}

namespace stack_walk {

bool IsPossible() { return true; }

size_t Walk(const Registers&, uintptr_t* addresses, size_t) {
  addresses[0] = the_system->stacks[weak::Self()];
  return 1;
}

size_t CountInside(const void*, const uintptr_t*, size_t) { return 0; }

}  // namespace stack_walk
}  // namespace aomalloc

// The C library's keys, of which there are two.
extern "C" {

int pthread_key_create(pthread_key_t* key, void (*)(void*)) noexcept {
  static aomalloc::AtomicWord next;
  *key = static_cast<pthread_key_t>(aomalloc::CountRelaxed(&next));
  aomalloc::the_system->keys[*key] = 1;
  return 0;
}

int pthread_key_delete(pthread_key_t) noexcept { return 0; }

int pthread_setspecific(pthread_key_t key, const void*) noexcept {
  aomalloc::weak::Expect(aomalloc::the_system->keys[key] == 1,
                         "the key is not there");
  return 0;
}
}
