// Prints whether the kernel has given this program more rights than its caller
// has (AT_SECURE), and how many of 64 blocks of 64 KiB it gets. With an
// argument it does what is told of elsewhere, and must end by it.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

static void misuse(const char *kind) {
  char *volatile block = malloc(100);
  if (!strcmp(kind, "twice")) {
    free(block);
    free(block);
  } else if (!strcmp(kind, "foreign")) {
    free((void *)&kind);
  } else if (!strcmp(kind, "use")) {
    free(block);
    block = realloc(block, 1000);
  } else if (!strcmp(kind, "size")) {
    void (*free_sized)(void *, size_t) = dlsym(RTLD_DEFAULT, "free_sized");
    free_sized(block, 5000);
  } else if (!strcmp(kind, "written")) {
    free(block);
    ((void *volatile *)block)[1] = &kind;
    for (int i = 0; i < 3000; i++) free(malloc(100));
    for (int i = 0; i < 3000; i++) (void)!malloc(100);
  }
}

int main(int argc, char **argv) {
  if (argc > 1) {
    misuse(argv[1]);
    return 3;
  }
  int had = 0;
  for (int i = 0; i < 64; i++) {
    char *block = malloc(64 * 1024);
    if (!block) break;
    memset(block, i, 64 * 1024);
    had++;
  }
  printf("AT_SECURE %lu, %d blocks\n", getauxval(AT_SECURE), had);
  return 0;
}
