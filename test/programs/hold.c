// hold BLOCKS: allocates BLOCKS times 64 KiB and keeps them.  Status 0 when all
// were had, 3 when malloc refused one.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { block_size = 64 * 1024, most = 100000 };

static char *blocks[most];
static char buffer[4096];  // so that printf needs no memory

static const char *name_of(int error) {
  return error == ENOMEM ? "ENOMEM" : strerror(error);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  int wanted = atoi(argv[1]), had = 0, error = 0;
  if (wanted > most) return 2;
  for (; had < wanted; had++) {
    errno = 0;
    blocks[had] = malloc(block_size);
    error = errno;
    if (!blocks[had]) break;
    memset(blocks[had], had, block_size);
  }
  printf("%d blocks of 64 KiB\n", had);
  for (int i = 0; i < had; i++) {
    if (blocks[i][0] != (char)i || blocks[i][block_size - 1] != (char)i) {
      return 4;
    }
  }
  if (had == wanted) return 0;
  printf("then NULL, errno is %s\n", name_of(error));
  for (int i = 0; i < 3; i++) {
    errno = 0;
    const char *answer = malloc(block_size) ? "a block" : "NULL";
    error = errno;
    printf("asked again: %s, errno is %s\n", answer, name_of(error));
  }
  if (had == 0) return 5;
  free(blocks[--had]);
  printf("asked after a free: %s\n", malloc(block_size) ? "a block" : "NULL");
  return 3;
}
