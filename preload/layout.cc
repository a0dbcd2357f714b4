// Where a debugger finds the heap, in a process or in a core dump, although the
// library has no debug information. These are addresses, sizes and offsets, in
// an order that those who read heaps know
// (scripts/installed/inspect/aomalloc/layout.py). The first word is a version.
// It changes when the others do.
#include <stddef.h>
#include <stdint.h>

#include "core/arena/arena.h"
#include "core/arena/memory.h"
#include "core/arena/run.h"
#include "core/base/hardening.h"
#include "core/base/size_class.h"
#include "core/heap/foreign.h"
#include "core/heap/heap.h"
#include "core/heap/inbox.h"
#include "core/heap/outbox.h"
#include "core/heap/sampler.h"
#include "core/thread/thread.h"

namespace aomalloc {

// The bytes of a block of each class.
struct ClassSizes {
  uintptr_t of[kNumClasses];

  static constexpr ClassSizes Make() {
    ClassSizes sizes{};
    for (int i = 0; i < kNumClasses; ++i) sizes.of[i] = ClassSize(i);
    return sizes;
  }
};

struct Layout {
  static constexpr uintptr_t kVersion = 8;
  static constexpr size_t kWords = 59;

  uintptr_t version;
  const volatile void* static_arena;
  const volatile void* static_rest;
  const volatile void* mapped_arenas;
  const volatile void* first_heaps;
  const volatile void* registry;
  const volatile void* secret;
  const volatile void* nested_entries;
  uintptr_t words[kWords];
  ClassSizes class_sizes;

// offsetof need not work for Heap, which has both public and private members.
// It does with the compilers that we use.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
  static constexpr Layout Make() {
    return {kVersion,
            &memory::static_arena,
            &memory::static_rest,
            memory::mapped_arenas,
            thread::first_heaps,
            &thread::registry,
            hardening::secret,
            &thread::nested_entries,
            {memory::kMaxMapped,
             thread::kFirstHeaps,
             kNumClasses,
             offsetof(Arena, base_),
             offsetof(Arena, unit_shift_),
             offsetof(Arena, table_),
             offsetof(Arena, used_),
             offsetof(Arena, dirty_),
             offsetof(Arena, end_),
             offsetof(Arena, growth_),
             offsetof(Growth, mapped_) + offsetof(Bitmap, words_),
             offsetof(Growth, first_units_),
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
             offsetof(Run, purged_pages),
             offsetof(Run, drained),
             offsetof(Run, span_bytes),
             sizeof(Heap),
             offsetof(Heap, holder),
             offsetof(Heap, next_in_registry),
             offsetof(Heap, inbox_) + offsetof(Inbox, taken_),
             offsetof(Heap, inbox_) + offsetof(Inbox, list_) +
                 offsetof(Inbox::List, state_),
             offsetof(Heap, foreign_) + offsetof(ForeignBlocks, kept_),
             sizeof(FreeList),
             offsetof(Heap, foreign_) + offsetof(ForeignBlocks, outbox_) +
                 offsetof(Outbox, lanes_),
             sizeof(Outbox::Lane),
             sizeof(Outbox::lanes_) / sizeof(Outbox::Lane),
             offsetof(Block, link_),
             hardening::kOn,
             offsetof(Heap, quarantine_) + offsetof(Quarantine, blocks_),
             hardening::kOn ? Quarantine::kBlocks : 0,
             offsetof(Arena, mapped_),
             offsetof(Arena, units_),
             offsetof(Arena, counts_),
             offsetof(Arena, peak_used_),
             offsetof(Arena, purges_),
             offsetof(Arena, purged_),
             offsetof(Heap, claim),
             offsetof(Heap, inbox_) + offsetof(Inbox, sent_bytes_),
             offsetof(Heap, raided_bytes_),
             offsetof(Heap, drained_),
             offsetof(Heap, sampler_),
             offsetof(Sampler, rations_),
             offsetof(FreeList, used),
             offsetof(Outbox::Lane, owner),
             offsetof(Outbox::Lane, first),
             offsetof(Outbox::Lane, bytes),
             offsetof(Outbox::Lane, room),
             offsetof(Outbox::Lane, listed),
             offsetof(Heap, inbox_) + offsetof(Inbox, looked_at_),
             offsetof(Heap, inbox_) + offsetof(Inbox, left_)},
            ClassSizes::Make()};
  }
#pragma GCC diagnostic pop
};

}  // namespace aomalloc

extern "C" {
extern const aomalloc::Layout aomalloc_layout
    __attribute__((visibility("default")));
const aomalloc::Layout aomalloc_layout = aomalloc::Layout::Make();
}
