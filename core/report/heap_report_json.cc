#include "core/arena/memory.h"
#include "core/base/os.h"
#include "core/profile/live_stacks.h"
#include "core/profile/place.h"
#include "core/report/heap_report.h"
#include "core/report/statistics.h"

namespace aomalloc::heap_report {
namespace {

// A list or an object of JSON. Puts a separator before each element but the
// first.
class List {
 public:
  List(Output* out, const char* open, const char* close)
      : out_(out), close_(close) {
    out_->Text(open);
  }
  ~List() { out_->Text(close_); }
  List(const List&) = delete;
  List& operator=(const List&) = delete;

  Output& Next() {
    if (!first_) out_->Text(", ");
    first_ = false;
    return *out_;
  }
  List& Add(const char* key, size_t value) {
    Next().Text("\"").Text(key).Text("\": ").Decimal(value);
    return *this;
  }

 private:
  Output* const out_;
  const char* const close_;
  bool first_ = true;
};

void WriteMemory(Output* out, const Statistics& s) {
  List list(out, ", \"memory\": {", "}");
  list.Add("live", s.live())
      .Add("peak_live", s.peak_live)
      .Add("used", s.used)
      .Add("peak_used", s.peak_used)
      .Add("mapped", s.accessible)
      .Add("huge", s.huge)
      .Add("reserved", s.reserved)
      .Add("descriptors", s.descriptors)
      .Add("slabs", s.slab_bytes)
      .Add("spans", s.span_bytes);
  size_t resident;
  if (ResidentBytes(&resident)) {
    list.Add("resident", resident);
  } else {
    list.Next().Text("\"resident\": null");
  }
}

void WriteWaste(Output* out, const Statistics& s) {
  List(out, ", \"waste\": {", "}")
      .Add("away", s.away)
      .Add("free_blocks", s.free_block_bytes)
      .Add("left_out", s.left_out)
      .Add("uncarved", s.uncarved)
      .Add("tails", s.tails + s.span_tails)
      .Add("kept", s.kept)
      .Add("heaps", s.own)
      .Add("dirty", s.free_dirty)
      .Add("clean", s.free_clean);
}

void WriteEvents(Output* out, const Statistics& s) {
  List(out, ", \"counts\": {", "}")
      .Add("heaps", s.heaps)
      .Add("held_heaps", s.held_heaps)
      .Add("slabs", s.slabs)
      .Add("blocks", s.blocks)
      .Add("spans", s.spans)
      .Add("remote_frees", s.remote_frees)
      .Add("nested_entries", s.nested_entries)
      .Add("purges", s.purges)
      .Add("purged_bytes", s.purged);
}

void WriteClasses(Output* out) {
  List list(out, ", \"classes\": [", "]");
  ClassStatistics classes[kClassesAtATime];
  for (int first = 0; first < kNumClasses; first += kClassesAtATime) {
    CountClasses(first, &classes);
    for (int i = 0; i < kClassesAtATime; ++i) {
      const ClassStatistics& c = classes[i];
      if (c.slabs == 0 && c.remote_frees == 0) continue;
      list.Next();
      List(out, "{", "}")
          .Add("size", ClassSize(first + i))
          .Add("slabs", c.slabs)
          .Add("capacity", c.capacity)
          .Add("carved", c.carved)
          .Add("blocks", c.blocks)
          .Add("remote_frees", c.remote_frees);
    }
  }
}

const char* NameOf(const RunView& run) {
  if (!run.in_use) return run.dirty ? "dirty" : "clean";
  switch (run.kind) {
    case RunKind::kSlab:
      return "slab";
    case RunKind::kSpan:
      return "span";
    case RunKind::kOwn:
      return "own";
    default:
      return "kept";
  }
}

void WriteRun(List* list, const char* name, size_t units, const RunView& run) {
  if (units == 0) return;
  Output& out = list->Next();
  out.Text("[\"").Text(name).Text("\", ").Decimal(units);
  if (run.kind == RunKind::kSlab) {
    out.Text(", ").Decimal(ClassSize(run.size_class));
    out.Text(", ").Decimal(run.blocks);
    out.Text(", ").Decimal(run.carved);
    out.Text(", ").Decimal(run.capacity);
    out.Text(", ").Decimal(run.left_out);
  }
  out.Text("]");
}

void WriteArena(Output* out, const Arena* arena) {
  out->Text("{\"base\": \"0x");
  const auto base = reinterpret_cast<uintptr_t>(arena->base());
  out->Text(Digits(base, 16).text());
  out->Text("\", \"unit\": ").Decimal(arena->unit_bytes());
  List list(out, ", \"runs\": [", "]}");
  // Neighbouring free units of one kind are written as one element.
  const char* free_name = nullptr;
  size_t free_units = 0;
  ForEachRun(arena, [&](size_t, const RunView& run) {
    const char* name = NameOf(run);
    if (run.in_use || name != free_name) {
      WriteRun(&list, free_name, free_units, RunView());
      free_name = name;
      free_units = 0;
    }
    if (run.in_use) {
      WriteRun(&list, name, run.units, run);
    } else {
      ++free_units;
    }
  });
  WriteRun(&list, free_name, free_units, RunView());
}

void WriteStack(Output* out, const profile::LiveStack& stack,
                profile::Places* places) {
  List members(out, "{", "}");
  members.Add("bytes", stack.live.bytes)
      .Add("blocks", stack.live.blocks)
      .Add("samples", stack.live.samples);
  members.Next().Text("\"calls\": ");
  List calls(out, "[", "]");
  for (size_t i = 0; i < stack.depth; ++i) {
    const uintptr_t call = stack.addresses[i] - 1;
    calls.Next().Text("\"").Text(places->NameOf(call)).Text("+0x");
    out->Text(Digits(places->OffsetOf(call), 16).text()).Text("\"");
  }
}

[[gnu::noinline]] void WriteLiveStacks(Output* out) {
  const profile::LiveStacks found = profile::FindLiveStacks();
  List(out, ", \"profile\": {", "}")
      .Add("live", found.total.bytes)
      .Add("blocks", found.total.blocks)
      .Add("samples", found.total.samples)
      .Add("stacks", found.stacks)
      .Add("missed", profile::Missed());
  List list(out, ", \"stacks\": [", "]");
  profile::Places places;
  for (size_t i = 0; i < found.count; ++i) {
    list.Next();
    WriteStack(out, found.largest[i], &places);
  }
}

}  // namespace

void WriteJson(Output* out, const char* occasion) {
  out->Text("{\"process\": ").Decimal(os::ProcessId());
  out->Text(", \"occasion\": \"").Text(occasion).Text("\", \"mmap\": ");
  out->Text(memory::MmapEnabled() ? "true" : "false");
  {
    const Statistics s = Count();
    WriteMemory(out, s);
    WriteWaste(out, s);
    WriteEvents(out, s);
  }
  WriteClasses(out);
  if (profile::IsOn()) WriteLiveStacks(out);
  {
    List list(out, ", \"arenas\": [", "]");
    Arena* arena;
    for (int i = 0; (arena = memory::ArenaAt(i)) != nullptr; ++i) {
      list.Next();
      WriteArena(out, arena);
    }
  }
  out->Text("}\n");
}

}  // namespace aomalloc::heap_report
