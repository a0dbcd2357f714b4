/* The AO_malloc interface: memory for programs that may be stopped, killed or
 * interrupted at any instruction.
 *
 * Every function here may be called from any thread and from any signal
 * handler, including one that interrupted another of these functions, to any
 * depth. No call waits for another thread.
 *
 * Interface as in libatomic_ops (README_malloc.txt); the implementation is
 * independent of that package's own malloc.
 */
#ifndef AO_MALLOC_H
#define AO_MALLOC_H

#include <stddef.h>

#include "atomic_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Defined because it is true: any number of threads may be stopped for ever
 * inside any call, and the others still complete theirs. */
#define AO_MALLOC_IS_LOCK_FREE

#if defined(__GNUC__)
#define AO_ATTR_MALLOC __attribute__((__malloc__))
#define AO_ATTR_ALLOC_SIZE(argnum) __attribute__((__alloc_size__(argnum)))
#define AO_MALLOC_API __attribute__((__visibility__("default")))
#else
#define AO_ATTR_MALLOC
#define AO_ATTR_ALLOC_SIZE(argnum)
#define AO_MALLOC_API
#endif

/* Returns a block of at least `size` bytes, aligned to 16 bytes; its contents
 * are unspecified. A size of 0 gives a unique block. Returns null and sets
 * errno to ENOMEM when the request cannot be met: without mmap, when the
 * static heap has no room for it. Errno is untouched on success. */
AO_MALLOC_API void* AO_malloc(size_t size) AO_ATTR_MALLOC AO_ATTR_ALLOC_SIZE(1);

/* Gives back a block that AO_malloc returned; null is allowed and does
 * nothing. Any thread and any handler may free any block. Needs no memory,
 * leaves errno alone. A pointer that is not a live block is reported on stderr
 * and the process is aborted. */
AO_MALLOC_API void AO_free(void* ptr);

/* From now on memory may be had from the system by mmap; until then only the
 * static heap is used and no system call is made. May be called at any time,
 * more than once, and cannot be undone. Does not itself make a system call. */
AO_MALLOC_API void AO_malloc_enable_mmap(void);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* AO_MALLOC_H */
