/* musl_dlopen PLUGIN: the plugin's blocks are the program's. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  if (dlopen("./nothing.so", RTLD_NOW) != NULL) return 1;
  puts(dlerror());
  void* plugin = dlopen(argv[1], RTLD_NOW | 8 /* glibc's RTLD_DEEPBIND */);
  if (plugin == NULL) {
    puts(dlerror());
    return 1;
  }
  char* (*get)(const char*) =
      (char* (*)(const char*))dlsym(plugin, "plugin_answer");
  if (get == NULL) return 1;
  char* answer = get("and called");
  puts(answer);
  free(answer);
  return dlclose(plugin);
}
