/* inspected: has blocks of every kind in its hands, tells what each should be
 * said to be, and aborts. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *volatile live, *volatile live_inside;
void *volatile large, *volatile large_inside;
void *volatile freed, *volatile freed_elsewhere, *volatile freed_large;
void *volatile on_stack, *volatile of_program;
static void *many[100];
static int variable;

static void *free_elsewhere(void *block) {
  free(malloc(64)); /* it has a heap, and keeps the block back in it */
  free(block);
  free(freed_large);
  abort();
}

int main(void) {
  pthread_t thread;
  int local;
  for (int i = 0; i < 100; i++) many[i] = malloc(1000);
  live = many[3];
  live_inside = (char *)many[4] + 100;
  large = malloc(5000000);
  memset(large, 1, 5000000);
  large_inside = (char *)large + 4999999;
  freed = many[5];
  free(many[5]);
  freed_elsewhere = many[6];
  freed_large = malloc(3000000);
  on_stack = &local;
  of_program = &variable;
  pthread_create(&thread, NULL, free_elsewhere, freed_elsewhere);
  pthread_join(thread, NULL);
  return 0;
}
