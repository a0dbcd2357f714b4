// Where a debugger finds the heap in a process or a core dump, though the
// library has no debug information: addresses, sizes and offsets, in the order
// in which the commands for gdb know their names
// (scripts/installed/aomalloc-gdb.py). The first word changes when they do.
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/foreign.h"
#include "core/hardening.h"
#include "core/heap.h"
#include "core/inbox.h"
#include "core/memory.h"
#include "core/outbox.h"
#include "core/run.h"
#include "core/size_class.h"
#include "core/thread.h"

namespace aomalloc {

struct Layout {
  static constexpr uintptr_t kVersion = 1;
  static constexpr size_t kWords = 40;

  const volatile void* static_arena;
  const volatile void* mapped_arenas;
  const volatile void* first_heaps;
  const volatile void* registry;
  const volatile void* secret;
  uintptr_t words[kWords];

// Heap has both public and private members, so that offsetof need not work;
// with the compilers that we have it does.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
  static constexpr Layout Make() {
    return {
        &memory::static_arena,
        memory::mapped_arenas,
        thread::first_heaps,
        &thread::registry,
        &hardening::secret,
        {kVersion,
         memory::kMaxMapped,
         thread::kFirstHeaps,
         kNumClasses,
         offsetof(Arena, base_),
         offsetof(Arena, unit_shift_),
         offsetof(Arena, table_),
         offsetof(Arena, used_),
         offsetof(Arena, dirty_),
         offsetof(Arena, committed_),
         sizeof(Run),
         offsetof(Run, owner),
         offsetof(Run, units),
         offsetof(Run, block_granules),
         offsetof(Run, capacity),
         offsetof(Run, kind),
         offsetof(Run, list.free),
         offsetof(Run, list.used),
         offsetof(Run, beyond),
         offsetof(Run, carved),
         offsetof(Run, drained),
         sizeof(Heap),
         offsetof(Heap, holder),
         offsetof(Heap, next_in_registry),
         offsetof(Heap, inbox_) + offsetof(Inbox, taken_),
         offsetof(Heap, inbox_) + offsetof(Inbox, list_) +
             offsetof(Inbox::List, state_),
         offsetof(Heap, foreign_) + offsetof(ForeignBlocks, kept_),
         sizeof(FreeList),
         offsetof(Heap, foreign_) + offsetof(ForeignBlocks, outbox_) +
             offsetof(Outbox, lanes_) + offsetof(Outbox::Lane, first),
         sizeof(Outbox::Lane),
         sizeof(Outbox::lanes_) / sizeof(Outbox::Lane),
         offsetof(Block, link_),
         hardening::kOn,
         offsetof(Heap, quarantine_) + offsetof(hardening::Quarantine, blocks_),
         hardening::kOn ? hardening::Quarantine::kBlocks : 0}};
  }
#pragma GCC diagnostic pop
};

}  // namespace aomalloc

extern "C" {
extern const aomalloc::Layout aomalloc_layout
    __attribute__((visibility("default")));
const aomalloc::Layout aomalloc_layout = aomalloc::Layout::Make();
}
