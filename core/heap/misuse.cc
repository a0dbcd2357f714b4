#include "core/heap/misuse.h"

#include "core/arena/memory.h"
#include "core/arena/tails.h"
#include "core/base/line.h"
#include "core/base/os.h"
#include "core/base/probe.h"
#include "core/heap/holder.h"
#include "core/heap/slab.h"

namespace aomalloc {
namespace {

AtomicWord on_misuse;  // OnMisuse
void (*before_abort)();

size_t OffsetIn(const void* start, const void* ptr) {
  return static_cast<size_t>(static_cast<const char*>(ptr) -
                             static_cast<const char*>(start));
}

// Which thread holds the heap. An Owner begins with a Holder.
void DescribeHolder(Line* line, const Holder* heap) {
  const AO_t holder = LoadRelaxed(&heap->holder);
  const AO_t id = Holder::IdOf(holder);
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
    const bool is_free =
        slab::IsLeftOut(slab, block) || slab::IsFree(slab, block);
    line->Text(is_free ? "free" : "live");
  }
  line->Text(", offset ").Decimal(OffsetIn(start, ptr));
  const AO_t owner = LoadRelaxed(&slab->owner);
  if (owner != 0) DescribeHolder(line, reinterpret_cast<const Holder*>(owner));
}

void DescribeSpan(Line* line, const Run* span, const void* ptr) {
  line->Decimal(tails::Bytes(span))
      .Text("-byte large block, live, offset ")
      .Decimal(OffsetIn(span->base, ptr));
}

void Describe(Line* line, const void* ptr) {
  const Run* run = memory::RunAtSlow(ptr);
  if (run == nullptr) {
    line->Text("outside of the heap");
  } else if (run->kind == RunKind::kSlab) {
    DescribeSlab(line, run, ptr);
  } else if (run->kind == RunKind::kSpan) {
    DescribeSpan(line, run, ptr);
  } else if (run->kind == RunKind::kOwn) {
    line->Text("the allocator's own memory");
  } else if (const Run* span = memory::SpanAround(run)) {
    DescribeSpan(line, span, ptr);
  } else {
    line->Text("free memory of the heap");
  }
}

void Finish(Line* line, const void* ptr) {
  line->Text(" (");
  Describe(line, ptr);
  line->Text(")").Write();
  if (LoadRelaxed(&on_misuse) != static_cast<AO_t>(OnMisuse::kAbort)) return;
  if (before_abort != nullptr) before_abort();
  os::Abort();
}

bool IsIgnored() {
  return LoadRelaxed(&on_misuse) == static_cast<AO_t>(OnMisuse::kIgnore);
}

}  // namespace

void SetOnMisuse(OnMisuse choice) {
  StoreRelaxed(&on_misuse, static_cast<AO_t>(choice));
}

void CallBeforeAbort(void (*function)()) { before_abort = function; }

void Misuse(const char* call, const void* ptr, const char* what) {
  probe::Misuse(call, ptr, what);
  if (IsIgnored()) return;
  Line line;
  line.Call(call, ptr).Text(what);
  Finish(&line, ptr);
}

void SizeMisuse(const char* call, const void* ptr, size_t size) {
  probe::Misuse(call, ptr, "freed as another size");
  if (IsIgnored()) return;
  Line line;
  line.Call(call, ptr).Text("freed as ").Decimal(size).Text(" bytes");
  Finish(&line, ptr);
}

bool DropIfDamaged(FreeList* list) {
  const Block* damaged = slab::DropDamaged(list);
  if (damaged == nullptr) return false;
  Misuse("malloc", damaged, fault::kWritten);
  return true;
}

const char* FaultOf(const Run* run, const void* ptr) {
  if (run == nullptr) return fault::kUnknown;
  if (run->kind == RunKind::kSlab) {
    if (slab::BlockIndex(run, ptr) >= run->carved) return fault::kNotLive;
    return slab::BlockStart(run, ptr) == ptr ? fault::kDoubleFree
                                             : fault::kInside;
  }
  if (run->kind == RunKind::kSpan) return fault::kInside;
  if (run->kind != RunKind::kFree) return fault::kNotLive;
  if (memory::SpanAround(run) != nullptr) return fault::kInside;
  // A large block or a slab began here.
  return run->base == ptr ? fault::kDoubleFree : fault::kNotLive;
}

}  // namespace aomalloc
