// glibc's own heap, beside ours. Its blocks are recognised, and handed back to
// it.
#ifndef AOMALLOC_PRELOAD_LIBC_HEAP_H_
#define AOMALLOC_PRELOAD_LIBC_HEAP_H_

namespace aomalloc::preload {

// Makes glibc's heap the neighbour (core/neighbour.h). To be called before that
// heap has any memory: before a constructor of the program or of another
// library runs.
void RecogniseLibcHeap();

}  // namespace aomalloc::preload

#endif  // AOMALLOC_PRELOAD_LIBC_HEAP_H_
