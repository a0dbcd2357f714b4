// glibc's functions that look into the heap or tune it. They count the heap
// when called and may be called from handlers, malloc_info excepted, which
// writes to a FILE.
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>

#include <initializer_list>

#include "core/allocator.h"
#include "core/heap_report.h"
#include "core/purge.h"
#include "core/statistics.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

// glibc's fields in our terms: arena: bytes in slabs; hblks, hblkhd: spans;
// uordblks: bytes of live blocks in slabs; fordblks, ordblks: the rest, free
// blocks in slabs; keepcost: what malloc_trim would give back at least.
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

// The older form, whose fields are int: what does not fit is INT_MAX.
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

// What mallopt answers: 1 for how much free memory may stay before it is given
// back, which is honoured (negative, as glibc takes it: any amount); 1 for the
// limits of glibc's caches, arenas and mappings, which programs set and insist
// on: nothing here exceeds them, as there are none of these; 1 for
// M_CHECK_ACTION, which glibc ignores too; 0, "not set", for the rest.
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

// The <sizes> of malloc_info: free blocks in slabs, by size.
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

EXPORT struct mallinfo2 mallinfo2() noexcept { return Info(); }

EXPORT struct mallinfo mallinfo() noexcept { return NarrowInfo(); }
EXPORT struct mallinfo __libc_mallinfo() { return NarrowInfo(); }

EXPORT int mallopt(int parameter, int value) noexcept {
  return SetOption(parameter, value);
}
EXPORT int __libc_mallopt(int parameter, int value) {
  return SetOption(parameter, value);
}

// Gives free memory back to the system, but for `pad` bytes: 1 if some was.
EXPORT int malloc_trim(size_t pad) noexcept {
  return aomalloc::Trim(pad) ? 1 : 0;
}

EXPORT void malloc_stats() noexcept {
  aomalloc::Output out(2);
  aomalloc::heap_report::WriteText(&out, "malloc_stats");
}

// The glibc manual's malloc_info: an XML document; `options` must be 0. All
// slabs are one <heap>, spans are glibc's mmapped blocks. The error is
// returned, as glibc does, whatever the manual says.
EXPORT int malloc_info(int options, FILE* stream) noexcept {
  if (options != 0) return EINVAL;
  const aomalloc::Statistics s = aomalloc::Count();
  fprintf(stream, "<malloc version=\"1\">\n<heap nr=\"0\">\n");
  PrintSizes(stream);
  // Twice: of this heap, and of all.
  for (const char* closing : {"</heap>\n", ""}) {
    fprintf(stream,
            "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
            "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n",
            s.free_blocks, s.free_block_bytes + s.uncarved);
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
