/* deepbind PLUGIN: frees, resizes and measures what a plugin allocated that has
   another malloc: glibc's own, which RTLD_DEEPBIND leads to. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void Fail(const char* what, size_t size) {
  fprintf(stderr, "FAILED: %s, %zu bytes\n", what, size);
  exit(1);
}

static void Check(const char* what, const unsigned char* block, size_t size) {
  if (block == NULL) Fail(what, size);
  for (size_t i = 0; i < size; ++i) {
    if (block[i] != 0x5A) Fail(what, size);
  }
}

static void* plugin;

static void* Find(const char* name) {
  void* found = dlsym(plugin, name);
  if (found == NULL) Fail(name, 0);
  return found;
}

int main(int argc, char** argv) {
  plugin = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND) : NULL;
  if (plugin == NULL) Fail("dlopen", 0);
  void* (*make)(size_t) = (void* (*)(size_t))Find("Make");
  void* (*make_in_thread)(size_t) = (void* (*)(size_t))Find("MakeInThread");
  void* (*make_zeroed)(size_t) = (void* (*)(size_t))Find("MakeZeroed");
  void* (*make_aligned)(size_t, size_t) =
      (void* (*)(size_t, size_t))Find("MakeAligned");
  void (*destroy)(void*) = (void (*)(void*))Find("Destroy");
  void* (*malloc_of_plugin)(void) = (void* (*)(void))Find("Malloc");
  if (getenv("LD_PRELOAD") != NULL && malloc_of_plugin() == (void*)malloc) {
    Fail("the plugin's malloc is no other than ours", 0);
  }

  static const size_t kSizes[] = {1,     16,     24,     100,     1000,   4096,
                                  10000, 100000, 140000, 1 << 20, 5 << 20};
  for (int round = 0; round < 10; ++round) {
    for (size_t i = 0; i < sizeof(kSizes) / sizeof(kSizes[0]); ++i) {
      const size_t size = kSizes[i];
      void* blocks[] = {make(size), make_in_thread(size),
                        make_aligned(64, size), make_aligned(8192, size)};
      for (int j = 0; j < 4; ++j) {
        Check("allocated", blocks[j], size);
        if (malloc_usable_size(blocks[j]) < size) Fail("usable size", size);
      }
      for (int j = 0; j < 4; ++j) free(blocks[j]);
      free(make_zeroed(size));

      void* grown = realloc(make(size), 3 * size);
      Check("grown", grown, size);
      free(grown);
      grown = realloc(make_in_thread(size), size / 2 + 1);
      Check("shrunk", grown, size / 2 + 1);
      free(grown);
      destroy(make(size));
      free(malloc(size));
    }
  }
  printf("done\n");
  return 0;
}
