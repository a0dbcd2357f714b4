/* dumped: has blocks of which each tells its number, and holes between them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 20000, EACH = 100 };

char *blocks[COUNT];
char *large;

int main(void) {
  for (int i = 0; i < COUNT; i++) {
    blocks[i] = malloc(1000);
    snprintf(blocks[i], 1000, "number %d", i);
  }
  for (int i = 0; i < COUNT; i++) {
    if (i % EACH) free(blocks[i]);
  }
  for (int i = 0; i < 100; i++) free(malloc(100000));
  large = malloc(3000000);
  strcpy(large + 2999900, "the end");
  abort();
}
