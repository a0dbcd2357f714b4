// Makes the library pass each of its probes, and ends by an abort.
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { blocks = 2000 };

static void *block[blocks];

static void *free_all(void *unused) {
  for (int i = 0; i < blocks; i++) free(block[i]);
  return unused;
}

int main(void) {
  for (int i = 0; i < blocks; i++) block[i] = malloc(1000);
  pthread_t thread;
  if (pthread_create(&thread, NULL, free_all, NULL) != 0) return 2;
  pthread_join(thread, NULL);
  void *volatile large = malloc(3000000);
  free(large);
  malloc_trim(0);
  if (malloc(SIZE_MAX / 2) != NULL) return 3;
  free(large);
  return 4;
}
