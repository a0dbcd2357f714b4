// Where code is, for people: in which file, and where in it.
#ifndef AOMALLOC_CORE_PROFILE_PLACE_H_
#define AOMALLOC_CORE_PROFILE_PLACE_H_

#include <cstddef>
#include <cstdint>

namespace aomalloc::profile {

// Finds the files of addresses. It remembers the last one, as neighbours on a
// stack are often in the same.
//
// Signal-safe, and takes no lock. What the dynamic loader says is copied by
// system calls that fail where there is no memory, so a library may be closed
// meanwhile: then it has no name, or a wrong one.
class Places {
 public:
  // The name of the file, without its folder, that has the address; what is no
  // printable ASCII, or a quote or a backslash, is '?' in it. "[unknown]" if no
  // file has it.
  const char* NameOf(uintptr_t address);

  // For the address that NameOf had last: how far it is behind where the file's
  // own addresses begin, so what nm and addr2line call it. If no file has it,
  // the address.
  uintptr_t OffsetOf(uintptr_t address) const { return address - base_; }

 private:
  void Find(uintptr_t address);
  void SetName(uintptr_t path);

  uintptr_t start_ = 0;  // of the file in memory
  uintptr_t end_ = 0;
  uintptr_t base_ = 0;
  char name_[44];  // so that a line of a report has room for it
};

}  // namespace aomalloc::profile

#endif  // AOMALLOC_CORE_PROFILE_PLACE_H_
