#include "core/thread/liveness.h"

#include "core/arena/memory.h"
#include "core/arena/move.h"
#include "core/base/os.h"
#include "core/base/os_memory.h"

namespace aomalloc::liveness {
namespace {

// Room for a page of our own, whatever the page size. Its place is computed
// here. If the linker aligned it, the library would be aligned to more than a
// page, and a loader takes longer over such a library.
constexpr size_t kPage = 65536;
char space[2 * kPage];

void* ClearedInChild() {
  const uintptr_t start = reinterpret_cast<uintptr_t>(space);
  return space + (kPage - start % kPage);
}

// The word of liveness.h.
AtomicWord* Process() { return static_cast<AtomicWord*>(ClearedInChild()); }

bool IsOurs(AO_t process) { return process != 0 && process == os::ProcessId(); }

}  // namespace

bool ProcessIsNew() {
  if (LoadRelaxed(Process()) != 0 || !memory::MmapEnabled()) return false;
  const size_t process = os::ProcessId();
  return process != 0 && os::ThreadId() == process &&
         os::ClearInForkChild(ClearedInChild(), kPage);
}

void ProcessIsKnown() {
  static AtomicWord known;  // in this process or an ancestor
  if (LoadRelaxed(&known) != 0) move::InForkChild();
  StoreRelaxed(&known, 1);
  // Release: a thread that reads the process id sees the ids that were recorded
  // in our heaps before.
  StoreRelease(Process(), os::ProcessId());
}

AO_t ThreadId() { return os::ThreadId(); }

AO_t IdToRecord() {
  // Acquire, but relaxed would do: only the value of the word matters here.
  return IsOurs(LoadAcquire(Process())) ? os::ThreadId() : 0;
}

bool IsDead(AO_t recorded) {
  // Acquire: a `holder` word that the first thread has changed before it stored
  // the process id is changed for us, too. So our caller's compare-and-swap
  // fails if `recorded` was that thread's id in the parent.
  const AO_t process = LoadAcquire(Process());
  return recorded != 0 && IsOurs(process) && os::HasEnded(process, recorded);
}

}  // namespace aomalloc::liveness
