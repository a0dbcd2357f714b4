/* A C program, without a C++ runtime, that loads a C++ library for itself only.
 * plugin_host PLUGIN */
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int CxxRuntimeIsLoaded(void) {
  char line[1000];
  int found = 0;
  FILE* maps = fopen("/proc/self/maps", "r");
  while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
    found |= strstr(line, "libstdc++") != NULL;
  }
  fclose(maps);
  return found;
}

int main(int argc, char** argv) {
  void* plugin;
  int (*try_to_allocate)(size_t);
  if (argc != 2) return 10;
  free(malloc(100));
  if (malloc((size_t)1 << 62) != NULL) return 11;
  if (CxxRuntimeIsLoaded()) return 12;
  plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 13;
  }
  if (!CxxRuntimeIsLoaded()) return 14;
  *(void**)&try_to_allocate = dlsym(plugin, "TryToAllocate");
  if (try_to_allocate == NULL) return 15;
  return try_to_allocate((size_t)1 << 62);
}
