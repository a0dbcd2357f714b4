// dlopen_threads PLUGIN ROUNDS: dlopen, dlsym, call and dlclose of three
// libraries, in one thread and then in four.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *plugin;
static int rounds;

static void *open_library(const char *name) {
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
  return library;
}

static void *symbol(void *library, const char *name) {
  void *address = dlsym(library, name);
  if (!address) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
  return address;
}

static void *work(void *number) {
  double sum = 0;
  for (int i = 0; i < rounds; i++) {
    void *libm = open_library("libm.so.6"), *libz = open_library("libz.so.1"),
         *own = open_library(plugin);
    sum += ((double (*)(double))symbol(libm, "cbrt"))(i * i * i);
    sum += (double)((unsigned long (*)(
        unsigned long, const char *, unsigned))symbol(libz, "crc32"))(0, "data",
                                                                      4);
    char *answer =
        ((char *(*)(const char *))symbol(own, "plugin_answer"))("and called");
    if (!answer || strcmp(answer, "loaded and called") != 0) {
      fprintf(stderr, "the plugin answers %s\n", answer ? answer : "nothing");
      exit(1);
    }
    free(answer);
    if (dlsym(libz, "no_such_symbol")) exit(1);
    char *error = dlerror();  // the loader allocated it
    if (!error || !strstr(error, "no_such_symbol")) exit(1);
    if (dlopen("no_such_library.so", RTLD_NOW) || !dlerror()) exit(1);
    if (dlclose(libm) || dlclose(own) || dlclose(libz)) exit(1);
  }
  char line[80];
  snprintf(line, sizeof line, "%s %.0f\n", (const char *)number, sum);
  return strdup(line);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  plugin = argv[1];
  rounds = atoi(argv[2]);
  alarm(40);

  char *line = work("alone");
  fputs(line, stdout);
  free(line);
  // Nobody holds the plugin now: it is loaded anew, with new thread-local data.
  void *own = open_library(plugin);
  printf("calls since it was loaded: %d\n",
         ((int (*)(void))symbol(own, "plugin_calls"))());
  dlclose(own);

  static const char *const names[] = {"first", "second", "third", "fourth"};
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) {
    if (pthread_create(&threads[i], NULL, work, (void *)names[i])) return 1;
  }
  for (int i = 0; i < 4; i++) {
    void *result;
    pthread_join(threads[i], &result);
    fputs(result, stdout);
    free(result);
  }
  return 0;
}
