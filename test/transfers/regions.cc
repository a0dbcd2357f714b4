#include "regions.h"

#include <limits.h>
#include <unistd.h>

namespace transfers {

bool Regions::Begin(uint64_t code) {
  // qemu's own mappings are there too, and harmless: the program's are where it
  // sees them.
  FILE* maps = fopen("/proc/self/maps", "re");
  if (maps == nullptr) return false;
  unsigned long start, end, offset, last_end = 0;
  char path[PATH_MAX] = "";
  char line[PATH_MAX + 128];
  while (fgets(line, sizeof(line), maps) != nullptr) {
    path[0] = '\0';
    const int found = sscanf(line, "%lx-%lx %*s %lx %*s %*s %4095[^\n]", &start,
                             &end, &offset, path);
    if (found >= 3 && path[0] == '/') {
      SetFile(start, end, offset, path);
    } else if (const Region* below = Find(last_end - 1);
               start == last_end && below != nullptr) {
      // Variables of the program that are zero.
      Set(start, end, below->owner, below->file);
    }
    last_end = end;
  }
  fclose(maps);
  const Region* loader = Find(code);
  if (loader == nullptr) return false;
  loader_ = loader->file;
  return true;
}

void Regions::AddFirstStack(uint64_t address) {
  constexpr uint64_t kMostBytes = 8 << 20;
  Set(address - kMostBytes, address + (1 << 16), Owner::kStack, kNoFile);
}

void Regions::AddFile(uint64_t start, uint64_t size, uint64_t offset,
                      int file) {
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(file);
  const ssize_t length = readlink(link.c_str(), path, sizeof(path));
  if (length <= 0) return Set(start, start + size, Owner::kProgram, kNoFile);
  SetFile(start, start + size, offset, std::string(path, length));
}

void Regions::AddMemory(uint64_t start, uint64_t size, uint64_t code,
                        Owner owner) {
  const Region* below = Find(start);
  int file = kNoFile;
  if (IsLoader(code)) {
    owner = Owner::kProgram;
    if (below != nullptr && below->file != kNoFile) {
      owner = below->owner;
      file = below->file;
    }
  }
  Set(start, start + size, owner, file);
}

Owner Regions::OwnerOf(uint64_t address) const {
  const Region* region = Find(address);
  // What is not known is above the end of the program: the C library's malloc
  // has it by brk.
  return region == nullptr ? Owner::kAllocator : region->owner;
}

bool Regions::IsLoader(uint64_t code) const {
  const Region* region = Find(code);
  return region != nullptr && region->file != kNoFile &&
         region->file == loader_;
}

bool Regions::IsAllocator(uint64_t code) const {
  const Region* region = Find(code);
  return region != nullptr && region->owner == Owner::kAllocator;
}

void Regions::WriteFiles(FILE* out) const {
  const char* separator = "";
  for (const File& file : files_) {
    fprintf(out, "%s{\"path\": \"%s\", \"base\": %lu}", separator,
            file.path.c_str(), static_cast<unsigned long>(file.base));
    separator = ",\n  ";
  }
}

const Regions::Region* Regions::Find(uint64_t address) const {
  auto next = regions_.upper_bound(address);
  if (next == regions_.begin()) return nullptr;
  const Region& region = std::prev(next)->second;
  return address < region.end ? &region : nullptr;
}

void Regions::Set(uint64_t start, uint64_t end, Owner owner, int file) {
  // What is left of regions that begin before and reach into this one.
  auto at = regions_.lower_bound(start);
  if (at != regions_.begin()) {
    auto before = std::prev(at);
    const Region old = before->second;
    if (old.end > start) before->second.end = start;
    if (old.end > end) regions_[end] = old;
  }
  while (at != regions_.end() && at->first < end) {
    const Region old = at->second;
    if (old.end > end) regions_[end] = old;
    at = regions_.erase(at);
  }
  regions_[start] = {end, owner, file};
}

void Regions::SetFile(uint64_t start, uint64_t end, uint64_t offset,
                      const std::string& path) {
  const Owner owner = path == allocator_ ? Owner::kAllocator : Owner::kProgram;
  if (offset == 0) files_.push_back({path, start});
  // Further parts belong to the last copy below them.
  int index = kNoFile;
  for (size_t n = 0; n < files_.size(); ++n) {
    const bool is_below = files_[n].path == path && files_[n].base <= start;
    if (is_below && (index == kNoFile || files_[n].base > files_[index].base)) {
      index = static_cast<int>(n);
    }
  }
  Set(start, end, owner, index);
}

}  // namespace transfers
