/* crashed HOW [OWN]: does something that is fatal, as dump_signal_test wants
 * it:
 *
 *   null      writes to address 16
 *   raise     sends itself SIGSEGV
 *   abort     calls abort
 *   malloc    faults inside free, as the block's page cannot be written to
 *   handler   faults in a handler that has interrupted malloc
 *   overflow  uses up the stack
 *   small     the same, and has a small stack for handlers
 *   report    makes the heap's descriptors unreadable and faults: so will a
 *             report
 *   fork      faults in a child, and ends with the signal of the child's end
 *   threads   faults in four threads at the same time
 *   refused   forbids itself sigaction by a filter, and faults
 *   faked     the same, with a filter that says that nothing failed
 *   twice     frees a block twice
 *
 * or, as depth, prints how many bytes of a stack for handlers SIGUSR2 takes.
 *
 * OWN is a handler that it has first:
 *
 *   ends      ends the process with status 9
 *   chains    says "own", puts back what was there before, and returns
 *   asks      calls malloc_stats, and ends with status 9
 *   late      says what it is told and ends with status 9; the library is
 *             loaded after it was installed, by dlopen of $LATE_LIBRARY */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static struct sigaction before[65];
static pthread_barrier_t barrier;

__attribute__((noinline, noclone)) static void fault(void) {
  int *volatile nowhere = (int *)(uintptr_t)16;
  *nowhere = 1;
}

static void say(const char *text) {
  if (write(1, text, strlen(text)) < 0) _exit(3);
}

static void ends(int number) {
  (void)number;
  _exit(9);
}

static void chains(int number) {
  say("own\n");
  sigaction(number, &before[number], NULL);
  if (number == SIGABRT) raise(number);
}

static void asks(int number) {
  (void)number;
  malloc_stats();
  _exit(9);
}

static void late(int number, siginfo_t *info, void *context) {
  const ucontext_t *user = context;
#if defined(__x86_64__)
  const uintptr_t at = (uintptr_t)user->uc_mcontext.gregs[REG_RIP];
#else
  const uintptr_t at = (uintptr_t)user->uc_mcontext.pc;
#endif
  sigset_t blocked;
  char text[200];
  sigprocmask(SIG_SETMASK, NULL, &blocked);
  snprintf(text, sizeof text, "signal %d code %d address %lu%s%s\n", number,
           info->si_code, (unsigned long)(uintptr_t)info->si_addr,
           at - (uintptr_t)fault < 64 ? " in fault" : "",
           sigismember(&blocked, SIGTERM) ? " SIGTERM is blocked" : "");
  say(text);
  _exit(9);
}

static void own_handler(const char *which) {
  struct sigaction action;
  const int numbers[] = {SIGSEGV, SIGABRT};
  memset(&action, 0, sizeof action);
  action.sa_handler = strcmp(which, "ends") == 0     ? ends
                      : strcmp(which, "chains") == 0 ? chains
                                                     : asks;
  if (strcmp(which, "late") == 0) {
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = late;
  }
  for (int i = 0; i < 2; i++) {
    sigaction(numbers[i], &action, &before[numbers[i]]);
  }
  if (strcmp(which, "late") == 0 && !dlopen(getenv("LATE_LIBRARY"), RTLD_NOW)) {
    fprintf(stderr, "%s\n", dlerror());
    exit(3);
  }
}

static void fault_in_malloc(void) {
  const long page = sysconf(_SC_PAGESIZE);
  char *block = NULL;
  /* A page that is all blocks of this kind. */
  for (int i = 0; i < 50; i++) block = malloc(1000);
  mprotect((void *)((uintptr_t)block & -(uintptr_t)page), (size_t)page,
           PROT_NONE);
  free(block);
}

static void on_signal(int number) {
  (void)number;
  free(malloc(100));
  fault();
}

static void fault_in_handler(void) {
  signal(SIGALRM, on_signal);
  ualarm(1000, 0);
  for (;;) free(malloc(100));
}

__attribute__((noinline)) static int overflow(int depth) {
  volatile char space[512];
  space[0] = (char)depth;
  return space[0] == depth - 1000 ? 0 : overflow(depth + 1) + space[0];
}

static void small_stack(void) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const size_t bytes = (size_t)sysconf(_SC_MINSIGSTKSZ) + 2048;
  const size_t pages = (bytes + page - 1) / page;
  char *space = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_t stack;
  mprotect(space, page, PROT_NONE);
  memset(&stack, 0, sizeof stack);
  stack.ss_sp = space + page;
  stack.ss_size = bytes;
  if (sigaltstack(&stack, NULL) != 0) exit(3);
}

/* Those of the first arena of mapped memory (preload/layout.cc). */
static void lose_descriptors(void) {
  const uintptr_t *layout = dlsym(RTLD_DEFAULT, "aomalloc_layout");
  const long page = sysconf(_SC_PAGESIZE);
  void *volatile block = malloc(100); /* There is something to report. */
  const char *arena = **(char ***)(layout + 3);
  const uintptr_t table = *(const uintptr_t *)(arena + layout[8 + 5]);
  if (mprotect((void *)(table & -(uintptr_t)page), (size_t)page, PROT_NONE) ||
      block == NULL) {
    _exit(3);
  }
}

static void *fault_in_thread(void *unused) {
  pthread_barrier_wait(&barrier);
  fault();
  return unused;
}

static void fault_in_threads(void) {
  pthread_t thread;
  pthread_barrier_init(&barrier, NULL, 4);
  for (int i = 0; i < 4; i++) {
    pthread_create(&thread, NULL, fault_in_thread, NULL);
  }
  pthread_join(thread, NULL);
}

static int fault_in_child(void) {
  int status;
  const pid_t child = fork();
  if (child == 0) {
    free(malloc(100));
    fault();
  }
  waitpid(child, &status, 0);
  printf("%d\n", (int)child);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void refuse_sigaction(int error) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigaction, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const struct sock_fprog program = {4, filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) exit(3);
}

static void free_twice(void) {
  void *block = malloc(100);
  free(block);
  free(block);
}

static size_t bytes_used(char *stack, size_t bytes, int number) {
  size_t unused = 0;
  memset(stack, 0xa5, bytes);
  raise(number);
  while (unused < bytes && (unsigned char)stack[unused] == 0xa5) unused++;
  return bytes - unused;
}

static void empty(int number) { (void)number; }

static int print_depth(void) {
  static char space[1 << 16];
  stack_t stack;
  struct sigaction action;
  void *volatile block = malloc(100); /* There is something to report. */
  memset(&stack, 0, sizeof stack);
  memset(&action, 0, sizeof action);
  stack.ss_sp = space;
  stack.ss_size = sizeof space;
  action.sa_handler = empty;
  action.sa_flags = SA_ONSTACK;
  if (sigaltstack(&stack, NULL) || sigaction(SIGUSR1, &action, NULL)) return 3;
  const size_t least = bytes_used(space, sizeof space, SIGUSR1);
  printf("%zu\n", bytes_used(space, sizeof space, SIGUSR2) - least);
  return block == NULL;
}

int main(int argc, char **argv) {
  const char *how = argv[1];
  if (argc > 2) own_handler(argv[2]);
  if (strcmp(how, "null") == 0) fault();
  if (strcmp(how, "raise") == 0) raise(SIGSEGV);
  if (strcmp(how, "abort") == 0) abort();
  if (strcmp(how, "malloc") == 0) fault_in_malloc();
  if (strcmp(how, "handler") == 0) fault_in_handler();
  if (strcmp(how, "small") == 0) small_stack();
  if (strcmp(how, "small") == 0 || strcmp(how, "overflow") == 0) overflow(0);
  if (strcmp(how, "report") == 0) lose_descriptors(), fault();
  if (strcmp(how, "fork") == 0) return fault_in_child();
  if (strcmp(how, "threads") == 0) fault_in_threads();
  if (strcmp(how, "refused") == 0) refuse_sigaction(EPERM), fault();
  if (strcmp(how, "faked") == 0) refuse_sigaction(0), fault();
  if (strcmp(how, "twice") == 0) free_twice();
  if (strcmp(how, "depth") == 0) return print_depth();
  return 4;
}
