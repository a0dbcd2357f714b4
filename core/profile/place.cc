#include "core/profile/place.h"

#include <string.h>

#include "core/base/os.h"
#include "core/profile/stack_walk.h"

namespace aomalloc::profile {
namespace {

// The beginning of struct link_map (<link.h>).
struct LinkMap {
  uintptr_t base;
  uintptr_t path;
};

constexpr size_t kLongestPath = 4096;

// Collects the last part of a path, character by character.
class LastPart {
 public:
  LastPart(char* text, size_t size) : text_(text), most_(size - 1) {}

  void Add(char c) {
    if (c == '/') {
      length_ = 0;
    } else if (length_ < most_) {
      const bool is_plain = c >= ' ' && c <= '~' && c != '"' && c != '\\';
      text_[length_++] = is_plain ? c : '?';
    }
    text_[length_] = '\0';
  }
  bool IsEmpty() const { return length_ == 0; }

 private:
  char* const text_;
  const size_t most_;
  size_t length_ = 0;
};

// The path of the program itself, which the dynamic loader leaves empty.
[[gnu::noinline]] void AddProgram(LastPart* part) {
  char path[160];
  const size_t length =
      os::ReadLink("/proc/thread-self/exe", path, sizeof(path));
  if (length == sizeof(path)) return;  // it may be cut off
  for (size_t i = 0; i < length; ++i) part->Add(path[i]);
}

}  // namespace

void Places::SetName(uintptr_t path) {
  LastPart part(name_, sizeof(name_));
  char chunk[64];  // of an aligned address: it is in one page
  for (uintptr_t end = path + kLongestPath; path < end;) {
    const size_t offset = path % sizeof(chunk);
    const size_t length = sizeof(chunk) - offset;
    if (!os::CopyFrom(reinterpret_cast<void*>(path), chunk, length)) break;
    const size_t before = strnlen(chunk, length);
    for (size_t i = 0; i < before; ++i) part.Add(chunk[i]);
    if (before < length) break;
    path += length;
  }
  if (part.IsEmpty()) AddProgram(&part);
  if (part.IsEmpty()) strcpy(name_, "[program]");
}

void Places::Find(uintptr_t address) {
  LinkMap map;
  stack_walk::Extent extent;
  start_ = address;
  end_ = address + 1;
  base_ = 0;
  strcpy(name_, "[unknown]");
  if (!stack_walk::FindExtent(address, &extent) ||
      !os::CopyFrom(extent.link_map, &map, sizeof(map))) {
    return;
  }
  start_ = extent.start;
  end_ = extent.end;
  base_ = map.base;
  SetName(map.path);
}

const char* Places::NameOf(uintptr_t address) {
  if (address < start_ || address >= end_) Find(address);
  return name_;
}

}  // namespace aomalloc::profile
