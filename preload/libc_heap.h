// glibc's own heap, beside ours: what is recognised as its blocks is handed
// back to it.
#ifndef AOMALLOC_PRELOAD_LIBC_HEAP_H_
#define AOMALLOC_PRELOAD_LIBC_HEAP_H_

namespace aomalloc::preload {

// Makes glibc's heap the allocator's neighbour. To be called before it has any
// memory: before a constructor of the program or of another library runs.
void RecogniseLibcHeap();

}  // namespace aomalloc::preload

#endif  // AOMALLOC_PRELOAD_LIBC_HEAP_H_
