// What the rest of this folder asks of the malloc family.
#ifndef AOMALLOC_PRELOAD_INTERPOSE_H_
#define AOMALLOC_PRELOAD_INTERPOSE_H_

namespace aomalloc::preload {

// True if the program's malloc is this library's. It is not where the program
// has its own, or another library comes before.
bool MallocIsOurs();

}  // namespace aomalloc::preload

#endif  // AOMALLOC_PRELOAD_INTERPOSE_H_
