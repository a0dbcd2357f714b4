/* A program as written for AO_malloc: plain C (or C++), its one header, its one
 * library.
 *
 *   ao_c_test static   the static heap alone
 *   ao_c_test mmap     with AO_malloc_enable_mmap */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atomic_ops_malloc.h"

#define THREADS 16
#define BLOCKS 200

#ifndef AO_MALLOC_IS_LOCK_FREE
#error "AO_malloc is lock-free here"
#endif

static int with_mmap;
static AO_t failures; /* of requests, which the static heap may refuse */

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

static size_t SizeOf(unsigned n) {
  /* Around the sizes at which the original changed its ways. */
  static const size_t edges[] = {0,     1,     8,     15,    16,    17,
                                 4080,  4096,  32760, 32761, 32768, 40000,
                                 65520, 65528, 65536, 100000};
  if (n % 8 == 0) return edges[n / 8 % 16];
  return n % 3 == 0 ? n % 70000 : n % 2000;
}

/* Each byte of a block is its owner's number; if two threads have the same
 * memory, one sees it change. */
static void* Work(void* argument) {
  unsigned char* blocks[BLOCKS] = {0};
  size_t sizes[BLOCKS];
  const unsigned id = (unsigned)(uintptr_t)argument;
  unsigned n = id * 7919;
  int i;
  for (i = 0; i < 20000; ++i) {
    int slot;
    n = n * 1103515245u + 12345u;
    slot = (int)(n / 65536 % BLOCKS);
    if (blocks[slot] != NULL) {
      size_t j;
      for (j = 0; j < sizes[slot]; j += j < 64 ? 1 : 512) {
        CHECK(blocks[slot][j] == id);
      }
      AO_free(blocks[slot]);
      blocks[slot] = NULL;
    }
    sizes[slot] = SizeOf(n / 256);
    errno = 0;
    blocks[slot] = (unsigned char*)AO_malloc(sizes[slot]);
    if (blocks[slot] == NULL) {
      CHECK(errno == ENOMEM);
      CHECK(!with_mmap);
      AO_fetch_and_add1(&failures);
      continue;
    }
    CHECK((uintptr_t)blocks[slot] % 16 == 0);
    memset(blocks[slot], (int)id, sizes[slot]);
  }
  for (i = 0; i < BLOCKS; ++i) AO_free(blocks[i]);
  return NULL;
}

static void InThreads(void) {
  pthread_t threads[THREADS];
  uintptr_t i;
  for (i = 0; i < THREADS; ++i) {
    CHECK(pthread_create(&threads[i], NULL, Work, (void*)(i + 1)) == 0);
  }
  for (i = 0; i < THREADS; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
}

static void CheckRefused(size_t size) {
  errno = 0;
  CHECK(AO_malloc(size) == NULL);
  CHECK(errno == ENOMEM);
}

/* Fills the heap with blocks of one size; frees all. Returns the bytes. */
static size_t FillAndFree(size_t size) {
  void** list = NULL;
  void** block;
  size_t bytes = 0;
  errno = 0;
  while ((block = (void**)AO_malloc(size)) != NULL) {
    *block = list;
    list = block;
    bytes += size;
  }
  CHECK(errno == ENOMEM);
  while (list != NULL) {
    block = (void**)*list;
    AO_free(list);
    list = block;
  }
  return bytes;
}

int main(int argc, char** argv) {
  volatile size_t huge = (size_t)-1;
  volatile size_t none = 0; /* gcc 14 warns of a request that is always 0 */
  char* block;
  CHECK(argc == 2);
  with_mmap = strcmp(argv[1], "mmap") == 0;
  AO_free(NULL);
  if (with_mmap) {
    const size_t two_gib = (size_t)1 << 31;
    AO_malloc_enable_mmap();
    AO_malloc_enable_mmap();
    InThreads();
    CHECK(failures == 0);
    block = (char*)AO_malloc(two_gib);
    CHECK(block != NULL);
    block[0] = block[two_gib - 1] = 1;
    AO_free(block);
  } else {
    size_t size;
    for (size = 16; size <= 65536; size *= 2) {
      const size_t first = FillAndFree(size);
      CHECK(first > 1000000);
      CHECK(FillAndFree(size) == first);
    }
    CheckRefused((size_t)1 << 31);
    InThreads();
    CHECK(failures > 0); /* else nothing of it was tested */
    CHECK(FillAndFree(1000) > 0);
  }
  CheckRefused(huge);
  CheckRefused(huge - 15);
  CheckRefused(huge / 2);
  CheckRefused(huge / 2 + 1);
  block = (char*)AO_malloc(none);
  CHECK(block != NULL);
  CHECK(AO_malloc(none) != block);
  printf("%lu requests refused\n", (unsigned long)failures);
  return 0;
}
