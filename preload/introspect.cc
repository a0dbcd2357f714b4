// glibc's functions that report on the heap or tune it (glibc manual, The GNU
// Allocator; mallinfo(3), mallopt(3)). They count the heap when they are
// called. All sizes are in bytes.
//
// All are signal-safe, except for malloc_info, which writes to a FILE. They do
// not change errno, with the same exception.
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>

#include <initializer_list>

#include "core/allocator.h"
#include "core/arena/purge.h"
#include "core/report/heap_report.h"
#include "core/report/statistics.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

// The fields of glibc's structure, in our terms:
//
//   arena             the bytes of slabs
//   hblks, hblkhd     the number and the bytes of spans
//   uordblks          the bytes of live blocks in slabs
//   ordblks           the number of free blocks in slabs
//   fordblks          what else slabs have, in bytes
//   keepcost          the bytes that malloc_trim would give back at least
//
// The other fields are 0.
struct mallinfo2 Info() {
  const aomalloc::Statistics s = aomalloc::Count();
  struct mallinfo2 info {};
  info.arena = s.slab_bytes;
  info.ordblks = s.free_blocks;
  info.hblks = s.spans;
  info.hblkhd = s.span_bytes;
  info.uordblks = s.live() > s.span_bytes ? s.live() - s.span_bytes : 0;
  info.fordblks = info.arena - info.uordblks;
  info.keepcost = s.free_dirty;
  return info;
}

int Saturate(size_t value) {
  return value > INT_MAX ? INT_MAX : static_cast<int>(value);
}

// The older structure, whose fields are int. A value that does not fit is
// INT_MAX.
struct mallinfo NarrowInfo() {
  const struct mallinfo2 wide = Info();
  struct mallinfo info {};
  info.arena = Saturate(wide.arena);
  info.ordblks = Saturate(wide.ordblks);
  info.hblks = Saturate(wide.hblks);
  info.hblkhd = Saturate(wide.hblkhd);
  info.uordblks = Saturate(wide.uordblks);
  info.fordblks = Saturate(wide.fordblks);
  info.keepcost = Saturate(wide.keepcost);
  return info;
}

// mallopt: returns 1 if the parameter was set, and 0 if not.
//
// M_TRIM_THRESHOLD is the amount of free memory that may stay before some is
// given back. It is honoured; a negative value means any amount, as in glibc.
// The limits of glibc's caches, arenas and mappings have no counterpart here.
// They count as set, because nothing exceeds them and some programs insist on a
// result of 1. M_CHECK_ACTION counts as set too; glibc ignores it as well.
int SetOption(int parameter, int value) {
  switch (parameter) {
    case M_TRIM_THRESHOLD:
      aomalloc::purge::Allow(value < 0 ? PTRDIFF_MAX
                                       : static_cast<size_t>(value));
      return 1;
    case M_MXFAST:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
      return 1;
    default:
      return 0;
  }
}

// The <sizes> of malloc_info: the free blocks in slabs, by size.
void PrintSizes(FILE* stream) {
  using aomalloc::kClassesAtATime;
  fprintf(stream, "<sizes>\n");
  aomalloc::ClassStatistics classes[kClassesAtATime];
  for (int first = 0; first < aomalloc::kNumClasses; first += kClassesAtATime) {
    aomalloc::CountClasses(first, &classes);
    for (int i = 0; i < kClassesAtATime; ++i) {
      const size_t free = classes[i].capacity - classes[i].blocks;
      if (free == 0) continue;
      const size_t size = aomalloc::ClassSize(first + i);
      fprintf(stream,
              "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n",
              size, size, free * size, free);
    }
  }
  fprintf(stream, "</sizes>\n");
}

}  // namespace

// glibc manual, Statistics for Memory Allocation with malloc. The figures are
// those of one moment: other threads go on.
EXPORT struct mallinfo2 mallinfo2() noexcept { return Info(); }

// The same. mallinfo(3): it is deprecated, because its fields are int.
EXPORT struct mallinfo mallinfo() noexcept { return NarrowInfo(); }
EXPORT struct mallinfo __libc_mallinfo() { return NarrowInfo(); }

// mallopt(3). May be called at any time.
EXPORT int mallopt(int parameter, int value) noexcept {
  return SetOption(parameter, value);
}
EXPORT int __libc_mallopt(int parameter, int value) {
  return SetOption(parameter, value);
}

// malloc_trim(3). Gives free memory back to the system, but for `pad` bytes of
// each mapped arena. Returns 1 if some was given back, and otherwise 0, as in
// the static heap.
EXPORT int malloc_trim(size_t pad) noexcept {
  return aomalloc::Trim(pad) ? 1 : 0;
}

// malloc_stats(3). Writes a report to stderr.
EXPORT void malloc_stats() noexcept {
  aomalloc::Output out(2);
  aomalloc::heap_report::WriteText(&out, "malloc_stats");
}

// malloc_info(3). Writes an XML document to `stream`, which may not be null.
// Returns 0. Returns EINVAL if `options` is not 0, as glibc does; the manual
// says -1. All slabs are one <heap>, and spans are what glibc calls mmapped.
// errno is that of stdio.
EXPORT int malloc_info(int options, FILE* stream) noexcept {
  if (options != 0) return EINVAL;
  const aomalloc::Statistics s = aomalloc::Count();
  fprintf(stream, "<malloc version=\"1\">\n<heap nr=\"0\">\n");
  PrintSizes(stream);
  // Twice: for this heap, and for all heaps.
  for (const char* closing : {"</heap>\n", ""}) {
    fprintf(stream,
            "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
            "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n",
            s.free_blocks, s.free_block_bytes + s.left_out + s.uncarved);
    if (*closing == '\0') {
      fprintf(stream, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n",
              s.spans, s.span_bytes);
    }
    fprintf(stream,
            "<system type=\"current\" size=\"%zu\"/>\n"
            "<system type=\"max\" size=\"%zu\"/>\n"
            "<aspace type=\"total\" size=\"%zu\"/>\n"
            "<aspace type=\"mprotect\" size=\"%zu\"/>\n"
            "%s",
            s.used, s.peak_used, s.reserved, s.accessible, closing);
  }
  fprintf(stream, "</malloc>\n");
  return 0;
}
