// fork_storm CHILDREN: three threads fork CHILDREN children each while two
// others allocate without pause. A child frees blocks of its parent, allocates,
// starts a thread or forks a grandchild, and leaves with exit or _exit. Every
// process has an alarm, so a hang is a death by SIGALRM.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { forkers = 3, churners = 2, slots = 64 };
enum { good = 7, no_memory = 98, corrupt = 99, unlucky = 100 };  // statuses

static int children;
static atomic_bool stop;

// Allocates and frees blocks of 1 byte to 200 KB and checks that nobody else
// wrote to them.
static void churn(unsigned seed, int steps) {
  struct {
    unsigned char *block;
    size_t size;
    unsigned char mark;
  } held[slots] = {{0}};
  for (int i = 0; i < steps + slots; i++) {
    // In the end, every slot in turn, to free all.
    unsigned at = i < steps ? rand_r(&seed) % slots : (unsigned)(i - steps);
    unsigned char *block = held[at].block;
    if (block) {
      if (block[0] != held[at].mark ||
          block[held[at].size / 2] != held[at].mark ||
          block[held[at].size - 1] != held[at].mark) {
        _exit(corrupt);
      }
      free(block);
      held[at].block = NULL;
    } else if (i < steps) {
      size_t size = rand_r(&seed) % 50 ? 1 + rand_r(&seed) % 2000
                                       : 1 + rand_r(&seed) % 200000;
      held[at].size = size;
      held[at].mark = (unsigned char)rand_r(&seed);
      held[at].block = malloc(size);
      if (!held[at].block) _exit(no_memory);
      memset(held[at].block, held[at].mark, size);
    }
  }
}

static void *churn_until_stopped(void *number) {
  for (unsigned i = 0; !atomic_load(&stop); i++) {
    churn((unsigned)(size_t)number + i, 500);
  }
  return NULL;
}

static void *churn_once(void *seed) {
  churn((unsigned)(size_t)seed, 300);
  return NULL;
}

static int wait_for(pid_t pid) {
  int status;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// What a child does; `inherited` is a block of its parent.
static _Noreturn void child(unsigned number, void *inherited) {
  for (int generation = 0; generation < 3; generation++) {
    alarm(120);
    free(inherited);
    churn(number, 300);
    if (number % 3 == 0) {
      pthread_t thread;
      if (pthread_create(&thread, NULL, churn_once, (void *)(size_t)number)) {
        _exit(no_memory);
      }
      pthread_join(thread, NULL);
    }
    if (number % 2 == 1) break;
    inherited = malloc(100 + number);
    pid_t pid = fork();
    if (pid == 0) continue;  // as the grandchild
    int status = wait_for(pid);
    free(inherited);
    if (status != good) _exit(unlucky);
    break;
  }
  churn(number + 1, 100);
  if (number % 4 < 2) exit(good);
  _exit(good);
}

static void *fork_many(void *number) {
  size_t failed = 0;
  for (int i = 0; i < children; i++) {
    void *block = malloc(1 + 37 * (size_t)i);
    pid_t pid = fork();
    if (pid == 0) child((unsigned)i, block);
    int status = wait_for(pid);
    if (status != good) {
      fprintf(stderr, "thread %zu, child %d: status %d\n", (size_t)number, i,
              status);
      ++failed;
    }
    free(block);
  }
  return (void *)failed;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  children = atoi(argv[1]);
  alarm(240);
  pthread_t churning[churners], forking[forkers];
  for (size_t i = 0; i < churners; i++) {
    if (pthread_create(&churning[i], NULL, churn_until_stopped,
                       (void *)(i + 1))) {
      return 1;
    }
  }
  for (size_t i = 0; i < forkers; i++) {
    if (pthread_create(&forking[i], NULL, fork_many, (void *)i)) return 1;
  }
  size_t failed = 0;
  for (size_t i = 0; i < forkers; i++) {
    void *result;
    pthread_join(forking[i], &result);
    failed += (size_t)result;
  }
  atomic_store(&stop, 1);
  for (size_t i = 0; i < churners; i++) pthread_join(churning[i], NULL);
  printf("%d children, %zu failed\n", forkers * children, failed);
  return failed != 0;
}
