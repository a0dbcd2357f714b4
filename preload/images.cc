#include "preload/images.h"

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

// Not every C library has it.
extern r_debug _r_debug __attribute__((weak));

namespace aomalloc::preload {
namespace {

constexpr int kMostImages = 256;
constexpr int kMostSegments = 32;

// True if a segment that is mapped to memory meets the range. The `count`
// program headers are at `headers`, and addresses in them count from `base`.
bool Meets(const Range& range, uintptr_t headers, int count, uintptr_t base) {
  for (int i = 0; i < count && i < kMostSegments; ++i) {
    ElfW(Phdr) header;
    if (!Read(headers + static_cast<uintptr_t>(i) * sizeof header, &header)) {
      return false;
    }
    if (header.p_type != PT_LOAD) continue;
    const uintptr_t start = base + header.p_vaddr;
    if (range.Meets({start, start + header.p_memsz})) return true;
  }
  return false;
}

// The program's own headers need not be where its addresses count from.
bool IsInProgram(const Range& range) {
  const uintptr_t headers = getauxval(AT_PHDR);
  const auto count = static_cast<int>(getauxval(AT_PHNUM));
  uintptr_t base = 0;
  for (int i = 0; i < count; ++i) {
    ElfW(Phdr) header;
    if (!Read(headers + static_cast<uintptr_t>(i) * sizeof header, &header)) {
      return false;
    }
    if (header.p_type == PT_PHDR) base = headers - header.p_vaddr;
  }
  return Meets(range, headers, count, base);
}

}  // namespace

Range FirstStack() {
  constexpr uintptr_t kBytes = uintptr_t{8} << 20;
  const uintptr_t top = getauxval(AT_EXECFN);  // a string above the stack
  return {top > kBytes ? top - kBytes : 0, top};
}

bool IsInImage(const Range& range) {
  if (IsInProgram(range)) return true;
  const r_debug* list = &_r_debug;
  if (list == nullptr) return false;
  auto at = reinterpret_cast<uintptr_t>(list->r_map);
  for (int i = 0; i < kMostImages && at != 0; ++i) {
    link_map image;
    ElfW(Ehdr) header;
    if (!Read(at, &image)) return false;
    at = reinterpret_cast<uintptr_t>(image.l_next);
    if (image.l_addr == 0 || !Read(image.l_addr, &header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
      continue;
    }
    if (Meets(range, image.l_addr + header.e_phoff, header.e_phnum,
              image.l_addr)) {
      return true;
    }
  }
  return false;
}

}  // namespace aomalloc::preload
