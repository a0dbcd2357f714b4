#include "core/loader.h"

#include <link.h>
#include <sys/auxv.h>

#include <cstdint>

#include "core/arena/memory.h"
#include "core/base/os_memory.h"

// Absent from a program that is linked statically.
extern struct r_debug _r_debug __attribute__((weak));

namespace aomalloc::loader {
namespace {

// True if `address` is in the loader's writable segment, or behind it on its
// last page: that is where it begins to allocate.
bool IsInData(uintptr_t address) {
  const uintptr_t base = getauxval(AT_BASE);
  if (base == 0) return false;
  const auto* elf = reinterpret_cast<const ElfW(Ehdr)*>(base);
  const auto* segment =
      reinterpret_cast<const ElfW(Phdr)*>(base + elf->e_phoff);
  const uintptr_t page = os::PageSize();
  for (int i = 0; i < elf->e_phnum; ++i, ++segment) {
    if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W) == 0) continue;
    const uintptr_t start = base + segment->p_vaddr;
    const uintptr_t end = start + segment->p_memsz;
    if (address >= start && address < ((end + page - 1) & ~(page - 1))) {
      return true;
    }
  }
  return false;
}

// True if the link_map of a library is on the page of `address`. The link_maps
// of libraries that were loaded later are blocks of ours.
bool SharesPageWithALibrary(uintptr_t address) {
  if (&_r_debug == nullptr) return false;
  const uintptr_t page = os::PageSize();
  for (const link_map* map = _r_debug.r_map; map != nullptr;
       map = map->l_next) {
    if (memory::RunAt(map) == nullptr &&
        address / page == reinterpret_cast<uintptr_t>(map) / page) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool Allocated(const void* ptr) {
  const auto address = reinterpret_cast<uintptr_t>(ptr);
  return IsInData(address) || SharesPageWithALibrary(address);
}

}  // namespace aomalloc::loader
