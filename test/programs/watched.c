/* watched: holds what its output says, and waits for the end of its stdin. It
 * has written a report (AO_MALLOC_DUMP_SIGNAL=USR2) of just that before it is
 * ready. With an argument, the first thread ends then.
 *
 *   500 blocks of 1000 bytes, 20 of 9000, one of 100000; 50 of 300 in a thread
 *   that sleeps; freed by that thread: 64 of 500 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

static void *thousands[500], *bigger[20], *away[64], *of_sleeper[50];
static void *large, *freed, *freed_large;
static pthread_barrier_t barrier;
static volatile sig_atomic_t hits;

static void fill(void **blocks, size_t count, size_t size) {
  for (size_t i = 0; i < count; i++) memset(blocks[i] = malloc(size), 1, size);
}

static void *sleeper(void *unused) {
  (void)unused;
  prctl(PR_SET_NAME, "sleeper");
  fill(of_sleeper, 50, 300);
  for (int i = 0; i < 64; i++) free(away[i]);
  free(freed_large);
  pthread_barrier_wait(&barrier);
  pause();
  return NULL;
}

static void on_timer(int signal_number) {
  (void)signal_number;
  free(malloc(200));
  hits++;
}

/* So that some operations are interrupted by others. */
static void nest(void) {
  const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
  signal(SIGPROF, on_timer);
  setitimer(ITIMER_PROF, &often, NULL);
  while (hits < 20) free(malloc(200));
  setitimer(ITIMER_PROF, &never, NULL);
}

static void say(const char *name, const void *address) {
  char line[100];
  const int length = snprintf(line, sizeof line, "%s %#lx\n", name,
                              (unsigned long)(uintptr_t)address);
  if (write(1, line, (size_t)length) != length) _exit(2);
}

static void *until_the_end(void *unused) {
  char c;
  (void)unused;
  while (read(0, &c, 1) == 1 || errno == EINTR) errno = 0;
  _exit(0);
}

int main(int argc, char **argv) {
  pthread_t thread, other;
  sigset_t timer;
  (void)argv;
  /* Others than our parents may look in (kernel.yama.ptrace_scope). */
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  fill(thousands, 500, 1000);
  fill(bigger, 20, 9000);
  fill(away, 64, 500);
  memset(large = malloc(100000), 1, 100000);
  freed_large = malloc(200000);
  nest();
  freed = malloc(1000);
  free(freed);
  sigemptyset(&timer);
  sigaddset(&timer, SIGPROF);
  pthread_sigmask(SIG_BLOCK, &timer, NULL);
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&thread, NULL, sleeper, NULL);
  pthread_barrier_wait(&barrier);
  say("live", thousands[3]);
  say("inside", (char *)thousands[4] + 100);
  say("large", large);
  say("large_inside", (char *)large + 99999);
  say("of_sleeper", of_sleeper[7]);
  say("away", away[5]);
  say("freed", freed);
  say("freed_large", freed_large);
  say("on_stack", &thread);
  say("of_program", thousands);
  raise(SIGUSR2);
  if (argc > 1) pthread_create(&other, NULL, until_the_end, NULL);
  say("ready", NULL);
  if (argc > 1) pthread_exit(NULL);
  until_the_end(NULL);
}
