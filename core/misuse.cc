#include "core/misuse.h"

#include "core/heap.h"
#include "core/liveness.h"
#include "core/memory.h"
#include "core/os.h"
#include "core/report.h"
#include "core/slab.h"

namespace aomalloc {
namespace {

AtomicWord on_misuse;  // OnMisuse

// The span that `unit`, whose kind is kFree, is inside; null if there is none.
const Run* SpanAround(const Run* unit) {
  const Arena* arena = memory::ArenaOfRun(unit);
  const Run* table = arena->table();
  if (!arena->InUse(static_cast<size_t>(unit - table))) return nullptr;
  for (const Run* run = unit; run > table;) {
    --run;
    if (run->kind == RunKind::kFree) continue;
    const auto distance = static_cast<size_t>(unit - run);
    return run->kind == RunKind::kSpan && distance < run->units ? run : nullptr;
  }
  return nullptr;
}

size_t OffsetIn(const void* start, const void* ptr) {
  return static_cast<size_t>(static_cast<const char*>(ptr) -
                             static_cast<const char*>(start));
}

// Whose heap it is: thread.h has the word.
void DescribeHolder(Line* line, const Heap* heap) {
  const AO_t holder = LoadRelaxed(&heap->holder);
  const AO_t id = holder & ((AO_t{1} << liveness::kIdBits) - 1);
  line->Text(", in the heap of ");
  if (holder == 0) {
    line->Text("no thread");
  } else if (id == 0) {
    line->Text("a thread");
  } else {
    line->Text("thread ").Decimal(id);
  }
}

void DescribeSlab(Line* line, const Run* slab, const void* ptr) {
  const char* start = slab::BlockStart(slab, ptr);
  const size_t index = slab::BlockIndex(slab, ptr);
  line->Decimal(slab::BlockSize(slab)).Text("-byte block, ");
  if (index >= slab->carved) {
    line->Text("never handed out");
  } else {
    const auto* block = reinterpret_cast<const Block*>(start);
    line->Text(slab::IsFree(slab, block) ? "free" : "live");
  }
  line->Text(", offset ").Decimal(OffsetIn(start, ptr));
  const AO_t owner = LoadRelaxed(&slab->owner);
  if (owner != 0) DescribeHolder(line, reinterpret_cast<const Heap*>(owner));
}

void DescribeSpan(Line* line, const Run* span, const void* ptr) {
  const size_t bytes = span->units * memory::ArenaOfRun(span)->unit_bytes();
  line->Decimal(bytes)
      .Text("-byte large block, live, offset ")
      .Decimal(OffsetIn(span->base, ptr));
}

void Describe(Line* line, const void* ptr) {
  const Run* run = memory::RunAt(ptr);
  if (run == nullptr) {
    line->Text("outside of the heap");
  } else if (run->kind == RunKind::kSlab) {
    DescribeSlab(line, run, ptr);
  } else if (run->kind == RunKind::kSpan) {
    DescribeSpan(line, run, ptr);
  } else if (run->kind == RunKind::kOwn) {
    line->Text("the allocator's own memory");
  } else if (const Run* span = SpanAround(run)) {
    DescribeSpan(line, span, ptr);
  } else {
    line->Text("free memory of the heap");
  }
}

void Finish(Line* line, const void* ptr) {
  line->Text(" (");
  Describe(line, ptr);
  line->Text(")").Write();
  if (LoadRelaxed(&on_misuse) == static_cast<AO_t>(OnMisuse::kAbort)) {
    os::Abort();
  }
}

bool IsIgnored() {
  return LoadRelaxed(&on_misuse) == static_cast<AO_t>(OnMisuse::kIgnore);
}

}  // namespace

void SetOnMisuse(OnMisuse choice) {
  StoreRelaxed(&on_misuse, static_cast<AO_t>(choice));
}

void Misuse(const char* call, const void* ptr, const char* what) {
  if (IsIgnored()) return;
  Line line;
  line.Call(call, ptr).Text(what);
  Finish(&line, ptr);
}

void SizeMisuse(const char* call, const void* ptr, size_t size) {
  if (IsIgnored()) return;
  Line line;
  line.Call(call, ptr).Text("freed as ").Decimal(size).Text(" bytes");
  Finish(&line, ptr);
}

const char* FaultOf(const Run* run, const void* ptr) {
  if (run == nullptr) return fault::kForeign;
  if (run->kind == RunKind::kSlab) {
    if (slab::BlockIndex(run, ptr) >= run->carved) return fault::kNotLive;
    return slab::IsBlockStart(run, ptr) ? fault::kDoubleFree : fault::kInside;
  }
  if (run->kind == RunKind::kSpan) return fault::kInside;
  if (run->kind != RunKind::kFree) return fault::kNotLive;
  if (SpanAround(run) != nullptr) return fault::kInside;
  // A large block began here, or a slab.
  return run->base == ptr ? fault::kDoubleFree : fault::kNotLive;
}

}  // namespace aomalloc
