#include <string.h>

#include "core/arena/memory.h"
#include "core/base/os.h"
#include "core/profile/live_stacks.h"
#include "core/profile/place.h"
#include "core/report/heap_report.h"
#include "core/report/statistics.h"

namespace aomalloc::heap_report {
namespace {

constexpr size_t kLabel = 38;
constexpr size_t kColumn = 13;

constexpr size_t kMostOfName = 15;  // as much as the kernel has of it
char program[kMostOfName + 1];

// Writes a figure in bytes and as a share of another.
void WriteShare(Output* out, const char* label, size_t bytes, size_t whole) {
  out->Left(label, kLabel)
      .Bytes(bytes, kColumn)
      .Percent(bytes, whole, kColumn)
      .Text("\n");
}

void WriteMemory(Output* out, const Statistics& s) {
  out->Left("memory", kLabel).Right("now    ", kColumn);
  out->Right("peak    ", kColumn).Text("\n");
  out->Left("  in live blocks", kLabel).Bytes(s.live(), kColumn);
  if (s.peak_live != 0) out->Bytes(s.peak_live, kColumn).Text(" or more");
  out->Text("\n");
  out->Left("  in use by the heap", kLabel).Bytes(s.used, kColumn);
  out->Bytes(s.peak_used, kColumn).Text("\n");
  size_t resident;
  if (ResidentBytes(&resident)) {
    out->Left("  resident", kLabel).Bytes(resident, kColumn).Text("\n");
  }
  out->Left("  mapped", kLabel).Bytes(s.accessible, kColumn).Text("\n");
  out->Left("  of it as huge pages", kLabel).Bytes(s.huge, kColumn).Text("\n");
  out->Left("  address space", kLabel).Bytes(s.reserved, kColumn).Text("\n\n");
}

void WriteWaste(Output* out, const Statistics& s) {
  const size_t whole = s.used;
  out->Left("what is in use by the heap", kLabel).Right("bytes    ", kColumn);
  out->Right("share", kColumn).Text("\n");
  WriteShare(out, "  live blocks", s.live(), whole);
  WriteShare(out, "  freed elsewhere, on their way home", s.away, whole);
  WriteShare(out, "  free blocks in slabs", s.free_block_bytes, whole);
  WriteShare(out, "  the same, memory given back", s.left_out, whole);
  WriteShare(out, "  never used in slabs", s.uncarved, whole);
  WriteShare(out, "  too little for a block", s.tails + s.span_tails, whole);
  WriteShare(out, "  kept for the next slabs and spans", s.kept, whole);
  WriteShare(out, "  heaps", s.own, whole);
  out->Text("beside it\n");
  out->Left("  free, not given back yet", kLabel).Bytes(s.free_dirty, kColumn);
  out->Text("\n");
  out->Left("  free, no memory behind it", kLabel).Bytes(s.free_clean, kColumn);
  out->Text("\n\n");
}

void WriteCount(Output* out, const char* label, size_t value) {
  out->Left(label, kLabel).Number(value, kColumn - 4).Text("\n");
}

void WriteCounts(Output* out, const Statistics& s) {
  WriteCount(out, "heaps", s.heaps);
  WriteCount(out, "  held by threads", s.held_heaps);
  WriteCount(out, "spans (blocks beyond the classes)", s.spans);
  out->Left("  their bytes", kLabel).Bytes(s.span_bytes, kColumn).Text("\n");
  WriteCount(out, "slabs", s.slabs);
  out->Left("  their bytes", kLabel).Bytes(s.slab_bytes, kColumn).Text("\n");
  WriteCount(out, "remote frees", s.remote_frees);
  WriteCount(out, "nested entries, from handlers", s.nested_entries);
  WriteCount(out, "purges", s.purges);
  out->Left("  bytes given back", kLabel).Bytes(s.purged, kColumn).Text("\n\n");
}

void WriteClass(Output* out, size_t size, const ClassStatistics& c) {
  if (c.slabs == 0 && c.remote_frees == 0) return;
  out->Number(size, 7)
      .Number(c.slabs, 8)
      .Number(c.blocks, 15)
      .Number(c.capacity, 13)
      .Percent(c.blocks, c.capacity, 9)
      .Bytes(c.blocks * size, 14)
      .Number(c.remote_frees, 14)
      .Text("\n");
}

void WriteClasses(Output* out) {
  out->Text("slabs, by the size of their blocks in bytes\n");
  out->Right("size", 7)
      .Right("slabs", 8)
      .Right("blocks in use", 15)
      .Right("of", 13)
      .Right("fill", 9)
      .Right("bytes in use", 14)
      .Right("remote frees", 14)
      .Text("\n");
  ClassStatistics classes[kClassesAtATime];
  for (int first = 0; first < kNumClasses; first += kClassesAtATime) {
    CountClasses(first, &classes);
    for (int i = 0; i < kClassesAtATime; ++i) {
      WriteClass(out, ClassSize(first + i), classes[i]);
    }
  }
}

// How many calls of a stack are written, and from which column on.
constexpr size_t kCalls = 8;
constexpr size_t kCallIndent = 15;

void WriteStack(Output* out, const profile::LiveStack& stack, size_t whole,
                profile::Places* places) {
  out->Bytes(stack.live.bytes, kColumn).Percent(stack.live.bytes, whole, 8);
  out->Number(stack.live.blocks, kColumn).Number(stack.live.samples, kColumn);
  out->Text("\n");
  for (size_t i = 0; i < stack.depth && i < kCalls; ++i) {
    const uintptr_t call = stack.addresses[i] - 1;
    out->Right("", kCallIndent).Text(places->NameOf(call)).Text("+0x");
    out->Text(Digits(places->OffsetOf(call), 16).text()).Text("\n");
  }
  if (stack.depth > kCalls) {
    out->Right("... ", kCallIndent + 4).Decimal(stack.depth - kCalls);
    out->Text(" calls more\n");
  }
}

[[gnu::noinline]] void WriteLiveStacks(Output* out) {
  const profile::LiveStacks found = profile::FindLiveStacks();
  const size_t whole = found.total.bytes;
  out->Text("\nlive by stack, estimated ");
  out->Text("(scripts/profile --show PROFILE names the functions)\n");
  out->Right("bytes    ", kColumn).Right("share", 8);
  out->Right("blocks", kColumn).Right("samples", kColumn).Text("\n");
  profile::Places places;
  size_t rest = whole;
  for (size_t i = 0; i < found.count; ++i) {
    WriteStack(out, found.largest[i], whole, &places);
    rest -= found.largest[i].live.bytes;
  }
  if (found.stacks == found.count) return;
  out->Bytes(rest, kColumn).Percent(rest, whole, 8).Text("  in ");
  out->Decimal(found.stacks - found.count).Text(" stacks more\n");
}

}  // namespace

void SetProgram(const char* path) {
  const char* slash = strrchr(path, '/');
  if (slash != nullptr) path = slash + 1;
  for (size_t i = 0; i < kMostOfName; ++i) {
    // Nothing that has a meaning to a terminal.
    const bool plain = path[i] == '\0' || (path[i] >= ' ' && path[i] <= '~');
    program[i] = plain ? path[i] : '?';
    if (path[i] == '\0') return;
  }
}

void WriteText(Output* out, const char* occasion) {
  out->Text("aomalloc: the heap of process ").Decimal(os::ProcessId());
  out->Text(" (").Text(program).Text(program[0] != '\0' ? ", " : "");
  out->Text(memory::MmapEnabled() ? "mmap), " : "static), ");
  out->Text(occasion).Text("\n\n");
  out->Flush();  // at a crash, what comes may fault
  {
    const Statistics s = Count();
    WriteMemory(out, s);
    WriteWaste(out, s);
    WriteCounts(out, s);
  }
  WriteClasses(out);
  if (profile::IsOn()) WriteLiveStacks(out);
}

}  // namespace aomalloc::heap_report
