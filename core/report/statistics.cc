#include "core/report/statistics.h"

#include "core/arena/memory.h"
#include "core/arena/tails.h"
#include "core/base/os_memory.h"
#include "core/heap/heap.h"
#include "core/heap/run_cache.h"
#include "core/heap/slab.h"
#include "core/thread/thread.h"

namespace aomalloc {
namespace {

AtomicWord peak_live;
AtomicWord look_at;  // the memory in use at which NotePeak counts next

size_t AtMost(size_t value, size_t most) { return value < most ? value : most; }

void AddSlab(const RunView& slab, size_t bytes, Statistics* s) {
  const size_t size = ClassSize(slab.size_class);
  ++s->slabs;
  s->slab_bytes += bytes;
  s->blocks += slab.blocks;
  s->block_bytes += slab.blocks * size;
  s->free_blocks += slab.capacity - slab.blocks;
  s->free_block_bytes += (slab.carved - slab.blocks - slab.left_out) * size;
  s->left_out += slab.left_out * size;
  s->uncarved += (slab.capacity - slab.carved) * size;
  s->tails += bytes - slab.capacity * size;
  s->remote_frees += slab.remote_frees;
  s->remote_bytes += slab.remote_frees * size;
}

void AddRun(const RunView& run, size_t bytes, Statistics* s) {
  if (!run.in_use) {
    (run.dirty ? s->free_dirty : s->free_clean) += bytes;
    return;
  }
  switch (run.kind) {
    case RunKind::kSlab:
      return AddSlab(run, bytes, s);
    case RunKind::kSpan:
      ++s->spans;
      s->span_bytes += run.span_bytes;
      s->span_tails += bytes - run.span_bytes;
      return;
    case RunKind::kOwn:
      s->own += bytes;
      return;
    default:
      s->kept += bytes;
  }
}

void AddArena(const Arena* arena, Statistics* s) {
  const size_t unit_bytes = arena->unit_bytes();
  const size_t accessible = arena->accessible_units();
  s->reserved += (arena->mapped() ? accessible : arena->units()) * unit_bytes;
  s->accessible += accessible * unit_bytes;
  s->huge += arena->huge_units() * unit_bytes;
  s->used += arena->used_units() * unit_bytes;
  s->peak_used += arena->peak_used_units() * unit_bytes;
  s->descriptors += accessible * sizeof(Run);
  s->purges += arena->purges();
  s->purged += arena->purged_units() * unit_bytes;
  ForEachRun(arena, [&](size_t unit, const RunView& run) {
    if (arena->IsAccessible(unit)) AddRun(run, run.units * unit_bytes, s);
  });
}

// Blocks that were sent and have not arrived are on their way. What was sent is
// counted by the heaps that it was sent to. What has arrived is counted by the
// slabs, and by the heaps for slabs that are gone and for blocks that they took
// in a raid.
void AddHeaps(Statistics* s) {
  size_t sent = 0;
  size_t arrived = 0;
  for (Heap* heap = thread::Registry(); heap != nullptr;
       heap = thread::Next(heap)) {
    ++s->heaps;
    if (LoadRelaxed(&heap->holder) != 0) ++s->held_heaps;
    s->away += heap->foreign().Bytes() + heap->RationBytes();
    sent += heap->sent_bytes();
    arrived += heap->raided_bytes();
    for (int i = 0; i < kNumClasses; ++i) {
      s->remote_frees += heap->Drained(i);
      s->remote_bytes += heap->Drained(i) * ClassSize(i);
    }
  }
  arrived += s->remote_bytes;
  if (sent > arrived) s->away += sent - arrived;
}

}  // namespace

RunView ViewRun(const Arena* arena, size_t unit) {
  RunView view;
  const Run& run = arena->table()[unit];
  view.in_use = arena->InUse(unit);
  if (!view.in_use) {
    view.dirty = arena->IsDirty(unit);
    return view;
  }
  const size_t left = arena->end() - unit;
  view.kind = Glance(run.kind);
  // The descriptor of a unit that is just being taken may still be the old one.
  const size_t most = view.kind == RunKind::kSlab || view.kind == RunKind::kSpan
                          ? left
                          : AtMost(left, RunCache::kMaxUnits);
  view.units = AtMost(Glance(run.units), most);
  if (view.units == 0 || view.kind == RunKind::kInterior) view.units = 1;
  const size_t bytes = view.units * arena->unit_bytes();
  if (view.kind == RunKind::kSpan) {
    view.span_bytes = AtMost(tails::Bytes(&run), bytes);
  }
  if (view.kind != RunKind::kSlab) return view;
  view.size_class = Glance(run.size_class) % kNumClasses;
  view.capacity =
      AtMost(Glance(run.capacity), bytes / ClassSize(view.size_class));
  view.carved = AtMost(Glance(run.carved), view.capacity);
  const int in_use = Glance(run.list.used) + Glance(run.beyond);
  view.blocks =
      in_use < 0 ? 0 : AtMost(static_cast<size_t>(in_use), view.carved);
  const size_t left_out = slab::CountIn(
      Glance(run.purged_pages), ClassSize(view.size_class), view.capacity);
  view.left_out = AtMost(left_out, view.carved - view.blocks);
  view.remote_frees = Glance(run.drained);
  return view;
}

Statistics Count() {
  Statistics s;
  Arena* arena;
  for (int i = 0; (arena = memory::ArenaAt(i)) != nullptr; ++i) {
    AddArena(arena, &s);
  }
  AddHeaps(&s);
  s.nested_entries = LoadRelaxed(&thread::nested_entries);
  if (LoadRelaxed(&statistics::watching) != 0) {
    RaiseTo(&peak_live, s.live());
    s.peak_live = LoadRelaxed(&peak_live);
  }
  return s;
}

bool ResidentBytes(size_t* resident) {
  *resident = 0;
  if (!memory::MmapEnabled()) return false;
  Arena* arena;
  for (int i = 0; (arena = memory::ArenaAt(i)) != nullptr; ++i) {
    size_t end;
    for (size_t unit = 0; unit < arena->end(); unit = end + 1) {
      end = arena->NextInaccessible(unit);
      if (end == unit) continue;
      // In whole pages: other data may share the page of the first descriptors.
      const Run* table = arena->table();
      const auto start =
          reinterpret_cast<uintptr_t>(table + unit) & ~(os::PageSize() - 1);
      size_t blocks;
      size_t descriptors;
      const bool known =
          os::Resident(arena->AddressOf(table + unit),
                       (end - unit) * arena->unit_bytes(), &blocks) &&
          os::Resident(reinterpret_cast<void*>(start),
                       reinterpret_cast<uintptr_t>(table + end) - start,
                       &descriptors);
      if (!known) return false;
      *resident += blocks + descriptors;
    }
  }
  return true;
}

void CountClasses(int first, ClassStatistics (*classes)[kClassesAtATime]) {
  for (int i = 0; i < kClassesAtATime; ++i) {
    ClassStatistics& c = (*classes)[i];
    c = ClassStatistics();
    for (Heap* heap = thread::Registry(); heap != nullptr;
         heap = thread::Next(heap)) {
      c.remote_frees += heap->Drained(first + i);
    }
  }
  Arena* arena;
  for (int i = 0; (arena = memory::ArenaAt(i)) != nullptr; ++i) {
    ForEachRun(arena, [&](size_t, const RunView& run) {
      const int index = run.size_class - first;
      if (run.kind != RunKind::kSlab || index < 0 || index >= kClassesAtATime) {
        return;
      }
      ClassStatistics& c = (*classes)[index];
      ++c.slabs;
      c.capacity += run.capacity;
      c.carved += run.carved;
      c.blocks += run.blocks;
      c.remote_frees += run.remote_frees;
    });
  }
}

namespace statistics {

AtomicWord watching;

void NotePeak() {
  const size_t used = memory::UsedBytes();
  if (used < LoadRelaxed(&look_at)) return;
  // Two threads that come here at once may both count.
  StoreRelaxed(&look_at, used + used / 64 + memory::kMappedUnitBytes);
  Count();
}

}  // namespace statistics
}  // namespace aomalloc
