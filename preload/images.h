// What else than heaps there is in the address space: the program and its
// libraries, and the stack of the first thread.
//
// Signal-safe: the loader's list is read without its lock, by system calls that
// fail where there is no memory. What the loader maps or unmaps meanwhile may
// be seen or not. (Where process_vm_readv is refused, no library may be
// unloaded meanwhile: os::CopyFrom.)
#ifndef AOMALLOC_PRELOAD_IMAGES_H_
#define AOMALLOC_PRELOAD_IMAGES_H_

#include <stdint.h>

#include "core/base/os.h"

namespace aomalloc::preload {

// Copies a value from an address that may not be mapped. False if it is not.
template <typename T>
bool Read(uintptr_t address, T* value) {
  return os::CopyFrom(reinterpret_cast<void*>(address), value, sizeof(T));
}

// Addresses from `start` to before `end`.
struct Range {
  uintptr_t start;
  uintptr_t end;
  bool Meets(const Range& other) const {
    return start < other.end && other.start < end;
  }
};

// The last 8 MiB of the stack of the first thread: by default it has no more.
Range FirstStack();

// True if a part of the range belongs to one of the first 256 images that the
// loader lists: the program, and libraries in the order in which they were
// loaded.
bool IsInImage(const Range& range);

}  // namespace aomalloc::preload

#endif  // AOMALLOC_PRELOAD_IMAGES_H_
