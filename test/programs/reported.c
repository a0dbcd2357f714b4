/* reported: has so many blocks of known sizes that a report can be compared
 * with them, and takes and frees others all the time, in two threads, until a
 * line or the end comes on stdin.
 *
 *   5000 blocks of 1000 bytes, 300 of 9000, 3 of 1 MiB; freed by another thread
 *   while their owner waits: 2000 of 500 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void *thousands[5000], *bigger[300], *large[3], *away[2000];
static volatile int done;

static void fill(void **blocks, size_t count, size_t size) {
  for (size_t i = 0; i < count; i++) memset(blocks[i] = malloc(size), 1, size);
}

static void *churn(void *unused) {
  (void)unused;
  unsigned seed = 1;
  void *blocks[64] = {0};
  while (!done) {
    void **block = &blocks[rand_r(&seed) % 64];
    free(*block);
    *block = malloc(64 + rand_r(&seed) % 64);
  }
  for (int i = 0; i < 64; i++) free(blocks[i]);
  return NULL;
}

static void *take_home(void *unused) {
  (void)unused;
  for (int i = 0; i < 2000; i++) free(away[i]);
  return NULL;
}

int main(void) {
  pthread_t threads[2], other;
  /* A debugger that is no ancestor of ours may look in, too: see
   * kernel.yama.ptrace_scope. */
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  fill(thousands, 5000, 1000);
  fill(bigger, 300, 9000);
  fill(large, 3, 1 << 20);
  fill(away, 2000, 500);
  pthread_create(&other, NULL, take_home, NULL);
  pthread_join(other, NULL);
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, churn, NULL);
  if (write(1, "ready\n", 6) != 6) return 2;
  char c;
  while (read(0, &c, 1) == 1 && c != '\n') {
  }
  done = 1;
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  return 0;
}
