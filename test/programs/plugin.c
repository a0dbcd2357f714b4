// A library for dlopen_threads: allocates in its constructor, and has
// thread-local data that the loader must allocate.
#include <stdlib.h>
#include <string.h>

static char *loaded;
static __thread char local[2000];
static __thread int calls;

__attribute__((constructor)) static void load(void) {
  loaded = strdup("loaded");
}
__attribute__((destructor)) static void unload(void) { free(loaded); }

// The caller frees the answer.
char *plugin_answer(const char *text) {
  strncpy(local, text, sizeof local - 1);
  ++calls;
  char *answer = malloc(strlen(loaded) + strlen(local) + 2);
  return answer ? strcat(strcat(strcpy(answer, loaded), " "), local) : NULL;
}
int plugin_calls(void) { return calls; }
