// What the other files of this folder need of the malloc family.
#ifndef AOMALLOC_PRELOAD_INTERPOSE_H_
#define AOMALLOC_PRELOAD_INTERPOSE_H_

namespace aomalloc::preload {

// True if the program's malloc is this library's. It is not if the program has
// its own, or if another library comes first.
bool MallocIsOurs();

// True if malloc's address is that of this library's function. It need not be,
// although malloc is ours. Signal-safe, and takes no time.
bool MallocAddressIsOurs();

// The same of aligned_alloc, which a library that has its own malloc need not
// know.
bool AlignedAllocIsOurs();

// Has operator new and delete call the program's malloc and free, if these are
// not ours. To be called once, before main.
void DirectOperators();

}  // namespace aomalloc::preload

#endif  // AOMALLOC_PRELOAD_INTERPOSE_H_
