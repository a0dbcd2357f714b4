// locked DROP FLAGS BEFORE AFTER: BEFORE KiB of blocks, mlockall, and AFTER KiB
// more. With DROP 1 without the right to lock more than 8 MiB. What comes of it
// must not depend on whose malloc it is.
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { most = 8 << 20, block_size = 1000 };

static char buffer[4096];  // so that printf needs no memory

static int drop(void) {
  const struct rlimit limit = {most, most};
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
  return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
         syscall(SYS_capset, &header, none) == 0;
}

static size_t locked(void) {
  size_t kilobytes = 0;
  char line[200];
  FILE *file = fopen("/proc/self/status", "r");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "VmLck: %zu", &kilobytes) == 1) break;
  }
  fclose(file);
  return kilobytes;
}

// Allocates and writes to so many KiB, and frees some in between.
static int allocate(size_t kilobytes) {
  for (size_t i = 0; i < kilobytes; i++) {
    char *block = malloc(block_size);
    char *other = malloc(100);
    if (block == NULL || other == NULL) return 0;
    memset(block, 1, block_size);
    free(other);
  }
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  const int flags = atoi(argv[2]);
  const size_t after = strtoul(argv[4], NULL, 10);
  if (atoi(argv[1]) != 0 && !drop()) return 2;
  printf("before: %s\n",
         allocate(strtoul(argv[3], NULL, 10)) ? "had" : "refused");
  errno = 0;
  const int result = mlockall(flags);
  printf("mlockall(%d): %d, %s\n", flags, result, strerror(errno));
  printf("after: %s\n", allocate(after) ? "had" : "refused");
  // With MCL_FUTURE alone, memory that malloc has already is not locked.
  const int both = MCL_CURRENT | MCL_FUTURE;
  const int future =
      flags == both || (flags == MCL_FUTURE && after > most >> 10);
  printf("locked: %s\n", !future                         ? ""
                         : locked() >= after - after / 8 ? "all"
                                                         : "less");
  printf("munlockall: %d\n", munlockall());
  printf("again: %s, %zu locked\n", allocate(100) ? "had" : "refused",
         locked());
  return 0;
}
