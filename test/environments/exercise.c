/* exercise [THREADS [ROUNDS]]: threads allocate, change and free blocks of many
   sizes, some of which other threads free, and look that nobody else has
   written to them. Prints what was done. Standard C and POSIX alone. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kBlocks = 64, kExchanged = 64, kMaxThreads = 4096 };

static int rounds = 300;
static void* exchange[kExchanged]; /* blocks for whoever takes them out */
static pthread_barrier_t all_started;

static void Fail(const char* what) {
  fprintf(stderr, "FAILED: %s\n", what);
  exit(1);
}

static size_t SizeOf(unsigned n) {
  return n % 37 == 0 ? 40000 + n % 200000 : 1 + n % 3000;
}

static unsigned char Mark(const void* block) {
  return (unsigned char)((uintptr_t)block >> 4);
}

static void Write(void* block, size_t size) {
  if (block == NULL) Fail("no memory");
  if ((uintptr_t)block % 16 != 0) Fail("a block is not aligned");
  memset(block, Mark(block), size < 16 ? size : 16);
  ((unsigned char*)block)[size - 1] = Mark(block);
}

static void Check(const void* block, size_t size) {
  const unsigned char* bytes = block;
  for (size_t i = 0; i < size && i < 16; ++i) {
    if (bytes[i] != Mark(block)) Fail("a block was written to");
  }
  if (bytes[size - 1] != Mark(block)) Fail("the end of a block was written to");
}

static void* Work(void* argument) {
  unsigned n = (unsigned)(uintptr_t)argument * 7919 + 1;
  void* blocks[kBlocks] = {NULL};
  size_t sizes[kBlocks] = {0};
  pthread_barrier_wait(&all_started);
  for (int i = 0; i < rounds; ++i) {
    n = n * 1103515245 + 12345;
    const unsigned r = n >> 8;
    const unsigned at = r % kBlocks;
    const size_t size = SizeOf(r);
    if (blocks[at] != NULL) Check(blocks[at], sizes[at]);
    void* made = NULL;
    switch (r % 4) {
      case 0:
        made = realloc(blocks[at], size);
        break;
      case 1:
        free(blocks[at]);
        if (posix_memalign(&made, 4096, size) != 0) Fail("no aligned memory");
        if ((uintptr_t)made % 4096 != 0) Fail("a block is not on a page");
        break;
      default:
        free(__atomic_exchange_n(&exchange[r / 64 % kExchanged], blocks[at],
                                 __ATOMIC_ACQ_REL));
        made = calloc(1, size);
        if (made != NULL && ((char*)made)[size - 1] != 0) {
          Fail("calloc returned what is not zero");
        }
    }
    Write(made, size);
    blocks[at] = made;
    sizes[at] = size;
  }
  for (int i = 0; i < kBlocks; ++i) free(blocks[i]);
  return NULL;
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : 4;
  if (argc > 2) rounds = atoi(argv[2]);
  if (threads < 1 || threads > kMaxThreads) Fail("how many threads?");
  static pthread_t ids[kMaxThreads];
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 128 << 10);
  pthread_barrier_init(&all_started, NULL, (unsigned)threads);
  for (int i = 0; i < threads; ++i) {
    if (pthread_create(&ids[i], &small, Work, (void*)(uintptr_t)(i + 1)) != 0) {
      Fail("pthread_create");
    }
  }
  for (int i = 0; i < threads; ++i) pthread_join(ids[i], NULL);
  for (int i = 0; i < kExchanged; ++i) free(exchange[i]);
  printf("%d threads, %d rounds each\n", threads, rounds);
  return 0;
}
