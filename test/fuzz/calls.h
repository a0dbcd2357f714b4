// The library's functions under names of their own, so that they do not take
// the place of the C library's here: scripts/fuzz renames what preload/
// defines. Contracts: preload/interpose.cc.
#ifndef AOMALLOC_TEST_FUZZ_CALLS_H_
#define AOMALLOC_TEST_FUZZ_CALLS_H_

#include <malloc.h>
#include <stddef.h>

extern "C" {
void* fuzzed_malloc(size_t size);
void* fuzzed_calloc(size_t count, size_t size);
void* fuzzed_realloc(void* ptr, size_t size);
void* fuzzed_reallocarray(void* ptr, size_t count, size_t size);
void* fuzzed_memalign(size_t alignment, size_t size);
void* fuzzed_aligned_alloc(size_t alignment, size_t size);
int fuzzed_posix_memalign(void** out, size_t alignment, size_t size);
void* fuzzed_valloc(size_t size);
void* fuzzed_pvalloc(size_t size);
void fuzzed_free(void* ptr);
void fuzzed_cfree(void* ptr);
void fuzzed_free_sized(void* ptr, size_t size);
void fuzzed_free_aligned_sized(void* ptr, size_t alignment, size_t size);
size_t fuzzed_malloc_usable_size(void* ptr);
int fuzzed_malloc_trim(size_t pad);
struct mallinfo2 fuzzed_mallinfo2();
void AO_malloc_enable_mmap();
}

#endif  // AOMALLOC_TEST_FUZZ_CALLS_H_
