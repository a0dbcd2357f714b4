/* Enters seccomp's strict mode, in which any system call but read, write, exit
 * and sigreturn kills, and then allocates and frees in all sizes and ways; also
 * in handlers: of a fault in the midst of it, and of a timer set before. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t handled, faults;

static void say(const char *what) {
  if (write(1, what, strlen(what)) < 0) handled = -1;
}

static void end(const char *what, int status) {
  say(what);
  for (;;) syscall(SYS_exit, status); /* exit() is exit_group, which kills */
}

/* Blocks of all sizes up to `most`, half of them freed by realloc's doing. */
static void use(size_t most) {
  void *blocks[16];
  unsigned n = 0;
  for (size_t size = 0; size <= most; size += 1 + size / 3) {
    if (n == 16) {
      while (n > 0) free(blocks[--n]);
    }
    char *block = size % 3 == 0 ? calloc(1, size) : malloc(size);
    if (block == NULL) {
      if (errno != ENOMEM) end("null, but errno is not ENOMEM\n", 1);
      continue;
    }
    memset(block, (int)size, size);
    char *grown = realloc(block, size + size / 2 + 1);
    blocks[n++] = grown != NULL ? grown : block;
    if (size > 0 && *(char *)blocks[n - 1] != (char)size) {
      end("contents are lost\n", 1);
    }
    free(aligned_alloc(64, (size + 63) / 64 * 64));
  }
  while (n > 0) free(blocks[--n]);
}

static void on_timer(int signal) {
  (void)signal;
  use(3000);
  handled++;
}

static void on_fault(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info;
  use(70000);
  faults++;
#if defined(__x86_64__)
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; /* past ud2 */
#elif defined(__aarch64__)
  ((ucontext_t *)context)->uc_mcontext.pc += 4;
#endif
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_timer;
  sigaction(SIGALRM, &action, NULL);
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = on_fault;
  sigaction(SIGILL, &action, NULL);
  struct itimerval every = {{0, 1000}, {0, 1000}};
  setitimer(ITIMER_REAL, &every, NULL);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) return 2;
  for (int round = 0; round < 200 || handled < 50; round++) {
    use(300000);
#if defined(__x86_64__)
    __asm__ volatile("ud2");
#elif defined(__aarch64__)
    __asm__ volatile("udf #0");
#endif
    void *too_much = malloc((size_t)1 << 40);
    if (too_much != NULL || errno != ENOMEM) end("not refused\n", 1);
    malloc_usable_size(too_much);
    malloc_trim(0);
  }
  if (faults < 200) end("a handler did not run\n", 1);
  end("done\n", 0);
  return 0;
}
