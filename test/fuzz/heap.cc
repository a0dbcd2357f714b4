#include "test/fuzz/heap.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "core/allocator.h"
#include "core/arena/ceiling.h"
#include "core/arena/make_arena.h"
#include "test/fuzz/calls.h"
#include "test/fuzz/model.h"
#include "test/testing.h"

namespace fuzz {
namespace {

using aomalloc::Arena;
using aomalloc::Run;
namespace ceiling = aomalloc::ceiling;
namespace arenas = aomalloc::memory;

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kLargeStaticHeap = 16 * kMiB;
constexpr size_t kCeiling = 12 * kMiB;
constexpr size_t kAddressSpace = 48 * kMiB;  // beyond what is there already

// Mapped memory comes in pieces then: something is where the primary arena
// would begin, also when there is less room than at first.
void LimitAddressSpace() {
  constexpr size_t kAround = 2 * kAddressSpace;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* there = mmap(nullptr, kAround, PROT_NONE, kFlags, -1, 0);
  for (unsigned i = 0; i < arenas::kPlaces; ++i) {
    const uintptr_t place = arenas::PlaceBelow(
        reinterpret_cast<uintptr_t>(there), i, arenas::kPrimaryBytes);
    mmap(reinterpret_cast<void*>(place - kAround), 2 * kAround, PROT_NONE,
         kFlags | MAP_FIXED_NOREPLACE, -1, 0);
  }
  const size_t most = aomalloc::AddressSpace() + kAddressSpace;
  const rlimit limit{most, most};
  if (setrlimit(RLIMIT_AS, &limit) != 0) Fail("setrlimit: %d", errno);
}

// No unit is in use but those of heaps, and the sums are right.
void CheckUnits() {
  size_t bytes = 0;
  Arena* arena;
  for (int i = 0; (arena = arenas::ArenaAt(i)) != nullptr; ++i) {
    size_t count = 0;
    for (size_t unit = 0; unit < arena->end(); ++unit) {
      const Run& run = arena->table()[unit];
      if (!arena->InUse(unit)) continue;
      if (run.kind != aomalloc::RunKind::kOwn) {
        Fail("unit %zu of arena %d is lost", unit, i);
      }
      unit += run.units - 1;
      count += run.units;
    }
    if (count != arena->used_units()) {
      Fail("%zu units in use, %zu counted", count, arena->used_units());
    }
    bytes += count * arena->unit_bytes();
  }
  if (ceiling::IsSet() && kCeiling - ceiling::Room() != bytes) {
    Fail("%zu bytes in use, room for %zu below the ceiling", bytes,
         ceiling::Room());
  }
}

}  // namespace

void ChooseHeap(int choice) {
  memory = Memory::kMayRunOut;
  const bool has_ceiling = choice % 16 >= 12;
  if (has_ceiling) arenas::SetLimit(kCeiling);
  if (choice % 8 >= 6) arenas::SetStaticHeap(kLargeStaticHeap);
  switch (choice % 4) {
    case 0:
    case 1:
      if (!has_ceiling) memory = Memory::kAmple;
      AO_malloc_enable_mmap();
      break;
    case 2:
      LimitAddressSpace();
      AO_malloc_enable_mmap();
      break;
    default:
      break;  // The static heap.
  }
}

void CheckThatHeapIsEmpty() {
  fuzzed_malloc_trim(0);
  const struct mallinfo2 info = fuzzed_mallinfo2();
  if (info.uordblks != 0 || info.hblkhd != 0) {
    Fail("%zu bytes of blocks and %zu of spans are still in use", info.uordblks,
         info.hblkhd);
  }
  CheckUnits();
  if (!aomalloc::HeapsAreValid()) Fail("a heap is not valid");
}

}  // namespace fuzz
