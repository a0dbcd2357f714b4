/* The AO_malloc interface: memory for programs that may be stopped, killed or
 * interrupted at any instruction.
 *
 * Every function here may be called from any thread and from any signal
 * handler, to any depth. This includes a handler that interrupted another of
 * these functions. No call waits for another thread.
 *
 * A call begins and ends in one thread. A runtime that switches between
 * user-level contexts, and does so in a handler, must let a context that was
 * interrupted inside a call go on in the thread in which it was interrupted.
 *
 * The interface is that of libatomic_ops (README_malloc.txt). The
 * implementation is independent of that package's own malloc.
 */
#ifndef AO_MALLOC_H
#define AO_MALLOC_H

#include <stddef.h>

#include "atomic_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Any number of threads may be stopped for ever inside any call, and the other
 * threads still complete their calls. (libatomic_ops defines this only where
 * its malloc is completely lock-free.) */
#define AO_MALLOC_IS_LOCK_FREE

/* The version: major * 10000 + minor * 100 + patch. */
#define AO_MALLOC_VERSION 10000

#if defined(__GNUC__)
#define AO_ATTR_MALLOC __attribute__((__malloc__))
#define AO_ATTR_ALLOC_SIZE(argnum) __attribute__((__alloc_size__(argnum)))
#define AO_MALLOC_API __attribute__((__visibility__("default")))
#else
#define AO_ATTR_MALLOC
#define AO_ATTR_ALLOC_SIZE(argnum)
#define AO_MALLOC_API
#endif

/* Returns a block of at least `size` bytes, aligned to 16 bytes. Its contents
 * are unspecified. A size of 0 gives a unique block.
 *
 * Returns null and sets errno to ENOMEM when there is no memory for the
 * request. Without mmap this means that the static heap has no room for it. On
 * success errno is not changed. */
AO_MALLOC_API void* AO_malloc(size_t size) AO_ATTR_MALLOC AO_ATTR_ALLOC_SIZE(1);

/* Gives back a block that AO_malloc returned. `ptr` may be null; then nothing
 * is done. Any thread and any handler may free any block. Needs no memory, and
 * does not change errno.
 *
 * If `ptr` is not a live block, one line on stderr reports this, and the
 * process is aborted. */
AO_MALLOC_API void AO_free(void* ptr);

/* Allows the heap to take memory from the system by mmap, from now on. Until
 * then only the static heap is used, and no system call is made. May be called
 * at any time and more than once, and cannot be undone. Makes no system call
 * itself, and does not change errno. */
AO_MALLOC_API void AO_malloc_enable_mmap(void);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* AO_MALLOC_H */
