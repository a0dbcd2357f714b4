// Prints whether the kernel has given this program more rights than its caller
// has (AT_SECURE), and how many of 64 blocks of 64 KiB it gets.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

int main(void) {
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
