/* Preloaded, writes what a program asks of malloc to the file descriptor that
 * RECORD_FD names, a record of 16 bytes for each block had and each block
 * freed: its address, and its size or -1.  For programs of one thread. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

struct event {
  uint64_t address;
  int64_t size;
};

static struct event events[1 << 12];
static unsigned count;
static int fd = -1;

static void flush(void) {
  size_t bytes = count * sizeof events[0];
  count = 0;
  if (fd >= 0 && write(fd, events, bytes) != (ssize_t)bytes) abort();
}

static void note(void *address, int64_t size) {
  if (address == NULL) return;
  events[count].address = (uintptr_t)address;
  events[count].size = size;
  if (++count == sizeof events / sizeof events[0]) flush();
}

__attribute__((constructor)) static void start(void) {
  const char *text = getenv("RECORD_FD");
  if (text != NULL) fd = atoi(text);
  unsetenv("RECORD_FD"); /* not for its children */
}

/* Not a destructor: programs that end by _exit count too. */
void _exit(int status) {
  flush();
  _Exit(status);
}
__attribute__((destructor)) static void end(void) { flush(); }

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

void *malloc(size_t size) {
  void *block = __libc_malloc(size);
  note(block, (int64_t)size);
  return block;
}

void *calloc(size_t n, size_t size) {
  void *block = __libc_calloc(n, size);
  note(block, (int64_t)(n * size));
  return block;
}

void *memalign(size_t alignment, size_t size) {
  void *block = __libc_memalign(alignment, size);
  note(block, (int64_t)size);
  return block;
}

void *aligned_alloc(size_t alignment, size_t size) {
  return memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
  *block = memalign(alignment, size);
  return *block != NULL ? 0 : 12;
}

void *realloc(void *old, size_t size) {
  void *block = __libc_realloc(old, size);
  if (block != NULL || size == 0) note(old, -1);
  note(block, (int64_t)size);
  return block;
}

void free(void *block) {
  note(block, -1);
  __libc_free(block);
}
