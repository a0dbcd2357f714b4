#include "test/stepper/symbols.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace stepper {
namespace {

struct Range {
  uintptr_t base;  // what addresses in the file are relative to
  uintptr_t start;
  uintptr_t end;
  bool Has(uintptr_t pc) const { return pc >= start && pc < end; }
};

Range program;
Range library;
char library_path[4096];
const Elf64_Sym* symbols;
size_t num_symbols;
const char* names;

int FindRanges(dl_phdr_info* info, size_t, void*) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD || (header.p_flags & PF_X) == 0) continue;
    const uintptr_t start = info->dlpi_addr + header.p_vaddr;
    const Range range = {info->dlpi_addr, start, start + header.p_memsz};
    if (range.Has(reinterpret_cast<uintptr_t>(&FindRanges))) program = range;
    // Not &malloc, which may be the program's own PLT entry.
    if (range.Has(reinterpret_cast<uintptr_t>(dlsym(RTLD_DEFAULT, "malloc")))) {
      library = range;
      snprintf(library_path, sizeof library_path, "%s", info->dlpi_name);
    }
  }
  return 0;
}

}  // namespace

void LoadSymbols() {
  dl_iterate_phdr(FindRanges, nullptr);
  const int fd = open(library_path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) return;
  void* file = mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ,
                    MAP_PRIVATE, fd, 0);
  close(fd);
  if (file == MAP_FAILED) return;
  const auto* bytes = static_cast<const char*>(file);
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(bytes);
  const auto* sections =
      reinterpret_cast<const Elf64_Shdr*>(bytes + header->e_shoff);
  for (int i = 0; i < header->e_shnum; ++i) {
    // The full table if there is one, otherwise what is exported.
    if (sections[i].sh_type != SHT_SYMTAB &&
        (sections[i].sh_type != SHT_DYNSYM || symbols != nullptr)) {
      continue;
    }
    symbols = reinterpret_cast<const Elf64_Sym*>(bytes + sections[i].sh_offset);
    num_symbols = sections[i].sh_size / sizeof(Elf64_Sym);
    names = bytes + sections[sections[i].sh_link].sh_offset;
  }
}

bool InProgram(uintptr_t pc) { return program.Has(pc); }
bool InLibrary(uintptr_t pc) { return library.Has(pc); }

size_t OffsetInLibrary(uintptr_t pc) { return pc - library.base; }

namespace {

const char* Locate(uintptr_t pc, uintptr_t* start) {
  if (InLibrary(pc)) {
    const uintptr_t offset = pc - library.base;
    for (size_t i = 0; i < num_symbols; ++i) {
      if (ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC &&
          offset >= symbols[i].st_value &&
          offset < symbols[i].st_value + symbols[i].st_size) {
        *start = library.base + symbols[i].st_value;
        return names + symbols[i].st_name;
      }
    }
  }
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(pc), &info) != 0 &&
      info.dli_sname != nullptr) {
    *start = reinterpret_cast<uintptr_t>(info.dli_saddr);
    return info.dli_sname;
  }
  *start = pc;
  return "?";
}

}  // namespace

const char* FunctionAt(uintptr_t pc) {
  uintptr_t start;
  return Locate(pc, &start);
}

uintptr_t FunctionNamed(const char* part) {
  for (size_t i = 0; i < num_symbols; ++i) {
    if (ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC &&
        symbols[i].st_value != 0 &&
        strstr(names + symbols[i].st_name, part) != nullptr) {
      return library.base + symbols[i].st_value;
    }
  }
  return 0;
}

const char* Describe(uintptr_t pc) {
  static char text[400];
  uintptr_t start;
  const char* name = Locate(pc, &start);
  if (InLibrary(pc)) {
    snprintf(text, sizeof text, "%s+0x%lx (library offset 0x%lx)", name,
             pc - start, pc - library.base);
  } else {
    snprintf(text, sizeof text, "%s+0x%lx (0x%lx)", name, pc - start, pc);
  }
  return text;
}

}  // namespace stepper
