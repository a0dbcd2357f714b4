#include "core/liveness.h"

#include "core/memory.h"
#include "core/os.h"

namespace aomalloc::liveness {
namespace {

// A page of its own, whatever the page size. Found here rather than aligned by
// the linker: a loader takes longer over a library that is aligned to more than
// a page.
constexpr size_t kPage = 65536;
char space[2 * kPage];

void* ClearedInChild() {
  const uintptr_t start = reinterpret_cast<uintptr_t>(space);
  return space + (kPage - start % kPage);
}

// The process that recorded ids; 0: unknown.
AtomicWord* Process() { return static_cast<AtomicWord*>(ClearedInChild()); }

bool IsOurs(AO_t process) { return process != 0 && process == os::ProcessId(); }

}  // namespace

bool ProcessIsNew() {
  return LoadRelaxed(Process()) == 0 && memory::MmapEnabled() &&
         os::ThreadId() == os::ProcessId() &&
         os::ClearInForkChild(ClearedInChild(), kPage);
}

void ProcessIsKnown() {
  // Release: the ids recorded in our heaps come before.
  StoreRelease(Process(), os::ProcessId());
}

AO_t ThreadId() { return os::ThreadId(); }

AO_t IdToRecord() {
  return IsOurs(LoadAcquire(Process())) ? os::ThreadId() : 0;
}

bool IsDead(AO_t recorded) {
  const AO_t process = LoadAcquire(Process());
  return recorded != 0 && IsOurs(process) && !os::IsAlive(process, recorded);
}

}  // namespace aomalloc::liveness
