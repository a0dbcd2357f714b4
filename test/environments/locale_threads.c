/* locale_threads LOCALE...: threads make, use and free locales. Prints what
   they saw. */
#define _GNU_SOURCE
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kThreads = 8, kRounds = 200 };
static int names;
static char** name;
static char text[kThreads][200];

static void* Work(void* argument) {
  char* mine = argument;
  for (int round = 0; round < kRounds; ++round) {
    mine[0] = '\0';
    for (int i = 0; i < names; ++i) {
      locale_t made = newlocale(LC_ALL_MASK, name[i], (locale_t)0);
      if (made == (locale_t)0) exit(1);
      locale_t copy = duplocale(made);
      freelocale(made);
      const locale_t old = uselocale(copy);
      const struct tm day = {.tm_mday = 1, .tm_mon = 2, .tm_year = 100};
      char month[50];
      strftime(month, sizeof(month), "%b", &day);
      const size_t length = strlen(mine);
      snprintf(mine + length, sizeof(text[0]) - length, "%s %.1f;", month, 0.5);
      uselocale(old);
      freelocale(copy);
    }
  }
  return NULL;
}

int main(int argc, char** argv) {
  names = argc - 1;
  name = argv + 1;
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    if (pthread_create(&threads[i], NULL, Work, text[i]) != 0) return 1;
  }
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  for (int i = 0; i < kThreads; ++i) puts(text[i]);
  return 0;
}
