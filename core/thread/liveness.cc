#include "core/thread/liveness.h"

#include "core/arena/memory.h"
#include "core/arena/move.h"
#include "core/base/os.h"
#include "core/base/os_memory.h"
#include "core/base/syscall.h"

namespace aomalloc::liveness {
namespace {

// Room for a page of our own, whatever the page size. Its place is computed
// here. If the linker aligned it, the library would be aligned to more than a
// page, and a loader takes longer over such a library.
constexpr size_t kPage = os::kLargestPage;
char space[2 * kPage];

void* ClearedInChild() {
  const uintptr_t start = reinterpret_cast<uintptr_t>(space);
  return space + (kPage - start % kPage);
}

// The word of liveness.h: the id of the process, kFirstRecorded, and the
// generation above.
AtomicWord* Process() { return static_cast<AtomicWord*>(ClearedInChild()); }

// A thread that may not record its id asks the kernel again only now and then:
// on musl that is each thread. (The next calls of ToRecord that do not ask.)
constexpr uint8_t kSkipped = 16;
__thread uint8_t calls_to_skip __attribute__((tls_model("initial-exec")));

constexpr AO_t kFirstRecorded = AO_t{1} << 31;
constexpr int kFirstBitOfGeneration = 32;

AO_t IdOf(AO_t process) { return process & (kFirstRecorded - 1); }

uint32_t GenerationOf(AO_t process) {
  return static_cast<uint32_t>(process >> kFirstBitOfGeneration);
}

// True if the memory is certainly that of the calling thread's process.
bool IsMemoryOurs() {
  return os::RobustListOf(0) != nullptr || os::HasRestartableSequences();
}

// False if the token is certainly not that of the first thread of `process`,
// the calling thread's.
bool MayBeOfFirst(AO_t holder, AO_t process) {
  const char* ours = os::RobustListOf(0);
  const char* list = os::RobustListOf(IdOf(process));
  if (ours == nullptr || list == nullptr) return true;
  const auto variable = reinterpret_cast<uintptr_t>(&token) + (list - ours);
  const AO_t first = TokenAt(reinterpret_cast<const void*>(variable));
  // The upper half, which has no part of the id. Without an address that wraps,
  // or that futex does not take.
  constexpr int kHalf = 32;
  return variable % sizeof(AO_t) != 0 ||
         !os::Holds(reinterpret_cast<const uint32_t*>(variable) + 1,
                    static_cast<unsigned>(first >> kHalf)) ||
         holder - Holder::IdOf(holder) == first;
}

// Begins the generation of this process.
void Begin() {
  static AtomicWord generations;  // of this process and its ancestors
  if (!os::ClearInForkChild(ClearedInChild(), kPage)) return;
  const AO_t generation = CountRelaxed(&generations) + 1;
  const AO_t id = os::ProcessId();
  const AO_t made = generation << kFirstBitOfGeneration;
  // Full, here and below, but relaxed would do: the word says nothing about
  // other memory yet.
  if (id == 0 || !CasFull(Process(), 0, made | id)) return;
  // A handler may have forked after the first call.
  const AO_t now = os::ProcessId();
  if (now != id) CasFull(Process(), made | id, made | now);
  if (generation > 1) move::InForkChild();
}

}  // namespace

__thread AtomicWord token = 0;
__thread uint32_t recorded = 0;

uint32_t ToRecord(bool urgent) {
  const AO_t process = LoadRelaxed(Process());
  if (process != 0 && GenerationOf(process) == recorded) return 0;
  if (!memory::MmapEnabled()) return 0;
  if (process == 0 && recorded != 0) {
    // This is the thread that survived a fork.
    move::InForkChild();
    if (!urgent) return 0;
  }
  if (calls_to_skip > 0) {
    --calls_to_skip;
    return 0;
  }
  if (!IsMemoryOurs()) {
    calls_to_skip = kSkipped;
    return 0;
  }
  if (process == 0) Begin();
  const AO_t begun = LoadRelaxed(Process());
  // A child that borrows this memory may have made the thread.
  return IdOf(begun) == os::ProcessId() ? GenerationOf(begun) : 0;
}

void FirstHasRecorded(uint32_t generation, AO_t id) {
  const AO_t process = LoadRelaxed(Process());
  if (GenerationOf(process) != generation || IdOf(process) != id) return;
  // Full; its release is needed: a thread that sees the bit sees the ids that
  // were recorded in our heaps before.
  CasFull(Process(), process, process | kFirstRecorded);
}

bool HasRecorded() {
  const AO_t process = LoadRelaxed(Process());
  return recorded != 0 && GenerationOf(process) == recorded &&
         IdOf(process) == os::ProcessId();
}

AO_t ThreadId() { return os::ThreadId(); }

bool IsDead(AO_t holder, uint32_t generation) {
  // Acquire: a `holder` word that the first thread has changed before it set
  // kFirstRecorded is changed for us, too. So our caller's compare-and-swap
  // fails if the id was that thread's in the parent.
  const AO_t process = LoadAcquire(Process());
  const AO_t id = Holder::IdOf(holder);
  if (id == 0 || process == 0) return false;
  const bool is_ours =
      GenerationOf(process) == generation || (process & kFirstRecorded) != 0;
  return os::HasEnded(IdOf(process), id) && IsMemoryOurs() &&
         (is_ours || !MayBeOfFirst(holder, process));
}

}  // namespace aomalloc::liveness
