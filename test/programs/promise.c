// promise TERABYTES: has so much promised and does not touch it; asks for as
// much again; gives the first back and asks once more. In between, it takes
// small blocks.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char buffer[4096];  // so that printf needs no memory

static void small(void) {
  static void *blocks[1000];
  int had = 0;
  for (int i = 0; i < 1000; i++) {
    blocks[i] = malloc(1000);
    if (blocks[i]) memset(blocks[i], i, 1000), had++;
  }
  for (int i = 0; i < 1000; i++) free(blocks[i]);
  printf("%d small blocks\n", had);
}

static void *large(const char *which, size_t size) {
  errno = 0;
  void *block = malloc(size);
  printf("%s: %s, %s\n", which, block ? "a block" : "NULL", strerror(errno));
  return block;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  size_t size = (size_t)atoi(argv[1]) << 40;
  setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  small();
  void *first = large("first", size);
  small();
  void *second = large("second", size);
  small();
  free(first);
  free(second);
  void *third = large("after a free", size);
  small();
  free(third);
  return 0;
}
