/* Allocates and frees, in several threads, between two marks that strace can
 * see: writes of "begin" and "end" to file descriptor -1. "no_syscalls idle"
 * does all the same except to allocate. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 4

static void* shared[THREADS][100];

static void* Work(void* argument) {
  void** mine = argument;
  size_t size;
  int i, round;
  for (round = 0; round < 100; ++round) {
    for (size = 0; size < 40000; size += 1 + size / 3) {
      void* block = malloc(size);
      if (block != NULL) memset(block, 1, size);
      block = realloc(block, size + size / 2 + 1);
      free(calloc(1, size));
      free(block);
    }
    for (i = 0; i < 100; ++i) mine[i] = malloc(200);
    for (i = 0; i < 100; ++i) free(mine[i]);
  }
  /* Too much: null, and still no system call. */
  free(malloc((size_t)1 << 40));
  for (i = 0; i < 100; ++i) mine[i] = malloc(200);
  return NULL;
}

static void* Idle(void* argument) { return argument; }

int main(int argc, char** argv) {
  pthread_t threads[THREADS];
  int i, j;
  void* (*work)(void*) =
      argc == 2 && strcmp(argv[1], "idle") == 0 ? Idle : Work;
  if (write(-1, "begin", 5) >= 0) return 1;
  for (i = 0; i < THREADS; ++i) {
    /* One at a time: how often threads wait for one another is a matter of
     * luck. */
    if (pthread_create(&threads[i], NULL, work, shared[i]) != 0) return 2;
    if (pthread_join(threads[i], NULL) != 0) return 3;
  }
  for (i = 0; i < THREADS; ++i) {
    for (j = 0; j < 100; ++j) free(shared[i][j]); /* of threads that ended */
  }
  if (work == Work) Work(shared[0]);
  if (write(-1, "end", 3) >= 0) return 4;
  return 0;
}
