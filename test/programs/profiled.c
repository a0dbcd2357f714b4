// Allocates what profile_test knows: leaks of two kinds, and much that is
// freed. With an argument it then waits for a line, holding what it leaks, and
// leaks more.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Not a tail call, so that the function is on the stack.
#define NOT_A_TAIL_CALL __asm__ volatile("" : : : "memory")

__attribute__((noipa)) static void* leak_small(void) {
  void* block = malloc(1024);
  NOT_A_TAIL_CALL;
  return block;
}

__attribute__((noipa)) static void* leak_large(void) {
  void* block = malloc(1 << 20);
  NOT_A_TAIL_CALL;
  return block;
}

__attribute__((noipa)) static void* leak_more(void) {
  void* block = malloc(1 << 20);
  NOT_A_TAIL_CALL;
  return block;
}

__attribute__((noipa)) static void churn(size_t size) {
  void* block = malloc(size);
  NOT_A_TAIL_CALL;
  free(block);
}

// Grows a block to 64 MiB, by half a MiB.
__attribute__((noipa)) static char* grow(void) {
  char* block = NULL;
  for (size_t size = 1 << 19; size <= 64 << 20; size += 1 << 19) {
    block = realloc(block, size);
  }
  return block;
}

int main(int argc, char** argv) {
  (void)argv;
  for (int i = 0; i < 100 << 10; ++i) leak_small();
  for (int i = 0; i < 100; ++i) leak_large();
  for (int i = 0; i < 1 << 20; ++i) churn(256), churn(768);
  free(grow());
  if (argc > 1) {
    // Without a buffer, so that a snapshot right after the line holds all.
    setvbuf(stdin, NULL, _IONBF, 0);
    puts("ready");
    fflush(stdout);
    getchar();
    for (int i = 0; i < 30; ++i) leak_more();
  }
  return 0;
}
