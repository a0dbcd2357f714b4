#include "core/liveness.h"

#include "core/memory.h"
#include "core/os.h"

namespace aomalloc::liveness {
namespace {

// A page of its own, whatever the page size.
constexpr size_t kPage = 65536;
struct alignas(kPage) Cleared {
  AtomicWord process;  // 0: unknown
  char rest[kPage - sizeof(AtomicWord)];
};
Cleared cleared_in_child;

bool IsOurs(AO_t process) { return process != 0 && process == os::ProcessId(); }

}  // namespace

bool ProcessIsNew() {
  return LoadRelaxed(&cleared_in_child.process) == 0 && memory::MmapEnabled() &&
         os::ThreadId() == os::ProcessId() &&
         os::ClearInForkChild(&cleared_in_child, sizeof(cleared_in_child));
}

void ProcessIsKnown() {
  // Release: the ids recorded in our heaps come before.
  StoreRelease(&cleared_in_child.process, os::ProcessId());
}

AO_t ThreadId() { return os::ThreadId(); }

AO_t IdToRecord() {
  return IsOurs(LoadAcquire(&cleared_in_child.process)) ? os::ThreadId() : 0;
}

bool IsDead(AO_t recorded) {
  const AO_t process = LoadAcquire(&cleared_in_child.process);
  return recorded != 0 && IsOurs(process) && !os::IsAlive(process, recorded);
}

}  // namespace aomalloc::liveness
