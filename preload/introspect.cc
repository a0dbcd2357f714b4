// glibc's functions that look into the heap or tune it. They count the heap
// when called and may be called from handlers, malloc_info excepted, which
// writes to a FILE.
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>

#include "core/allocator.h"
#include "core/report.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

// glibc's fields in our terms: arena: bytes in slabs; hblks, hblkhd: spans;
// uordblks: bytes in use in slabs; fordblks, ordblks: free blocks in slabs;
// keepcost: what malloc_trim would give back.
struct mallinfo2 Info() {
  const aomalloc::Statistics s = aomalloc::Count();
  struct mallinfo2 info {};
  info.arena = s.slab_bytes;
  info.ordblks = s.free_blocks;
  info.hblks = s.spans;
  info.hblkhd = s.span_bytes;
  info.uordblks = s.block_bytes;
  info.fordblks = s.slab_bytes - s.block_bytes;
  info.keepcost = s.free_dirty_bytes;
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

}  // namespace

EXPORT struct mallinfo2 mallinfo2() noexcept { return Info(); }

EXPORT struct mallinfo mallinfo() noexcept { return NarrowInfo(); }
EXPORT struct mallinfo __libc_mallinfo() { return NarrowInfo(); }

// None of glibc's parameters has a counterpart here: 0, "not set".
EXPORT int mallopt(int, int) noexcept { return 0; }
EXPORT int __libc_mallopt(int, int) { return 0; }

// 1 if memory was given back to the system.
EXPORT int malloc_trim(size_t) noexcept { return aomalloc::Trim() ? 1 : 0; }

EXPORT void malloc_stats() noexcept {
  const aomalloc::Statistics s = aomalloc::Count();
  using aomalloc::Line;
  Line().Text("accessible bytes    ").Decimal(s.arena_bytes).Write();
  Line().Text("bytes in slabs      ").Decimal(s.slab_bytes).Write();
  Line().Text("  of which in use   ").Decimal(s.block_bytes).Write();
  Line().Text("bytes in spans      ").Decimal(s.span_bytes).Write();
  Line().Text("free, not purged    ").Decimal(s.free_dirty_bytes).Write();
}

// The glibc manual's malloc_info: an XML document; `options` must be 0.
EXPORT int malloc_info(int options, FILE* stream) noexcept {
  if (options != 0) {
    errno = EINVAL;
    return -1;
  }
  const aomalloc::Statistics s = aomalloc::Count();
  fprintf(stream,
          "<malloc version=\"1\">\n"
          "<heap nr=\"0\">\n"
          "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
          "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
          "<system type=\"current\" size=\"%zu\"/>\n"
          "<system type=\"max\" size=\"%zu\"/>\n"
          "</heap>\n"
          "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
          "</malloc>\n",
          s.free_blocks, s.slab_bytes - s.block_bytes, s.slab_bytes,
          s.arena_bytes, s.spans, s.span_bytes);
  return 0;
}
