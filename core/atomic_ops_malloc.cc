#include "core/atomic_ops_malloc.h"

#include "core/allocator.h"
#include "core/arena/memory.h"

extern "C" {

void* AO_malloc(size_t size) { return aomalloc::Allocate(size); }

void AO_free(void* ptr) { aomalloc::Free(ptr, "AO_free"); }

void AO_malloc_enable_mmap(void) { aomalloc::memory::EnableMmap(); }

}  // extern "C"
