/* bugs BUG: one of those that memory checkers find. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void* volatile lost;

int main(int argc, char** argv) {
  const char* bug = argc > 1 ? argv[1] : "";
  char* volatile block = malloc(100); /* what the compiler must not see */
  memset(block, 1, 100);
  if (strcmp(bug, "overflow") == 0) block[100] = 1;
  if (strcmp(bug, "leak") == 0) {
    lost = malloc(10);
    lost = NULL;
  }
  free(block);
  if (strcmp(bug, "after-free") == 0) block[5] = 1;
  printf("%s\n", bug);
  return 0;
}
