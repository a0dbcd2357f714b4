/* own_malloc PLUGIN: a program that brings its own allocator. malloc and kin
   are its own, for itself and for all its libraries, but for a plugin that is
   loaded with RTLD_DEEPBIND. It knows whether a block is of its pool, and gets
   no other. Prints how often it was called. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kBytes = 1 << 24 };
_Alignas(4096) static char pool[kBytes];
static size_t used;
static size_t allocated, freed;

static void* Take(size_t alignment, size_t size) {
  size = (size + 15 + 16) & ~(size_t)15; /* with its size before it */
  const size_t most = size + alignment;
  const size_t start = __atomic_fetch_add(&used, most, __ATOMIC_RELAXED);
  if (start + most > kBytes) return NULL;
  uintptr_t at = (uintptr_t)pool + start + 16;
  at = (at + alignment - 1) & ~(uintptr_t)(alignment - 1);
  ((size_t*)at)[-1] = size - 16;
  __atomic_fetch_add(&allocated, 1, __ATOMIC_RELAXED);
  return (void*)at;
}

void* malloc(size_t size) { return Take(16, size); }

void free(void* block) {
  if (block == NULL) return;
  if ((char*)block < pool || (char*)block >= pool + kBytes) {
    static const char kText[] = "FAILED: free of another's block\n";
    if (write(2, kText, sizeof(kText) - 1)) _exit(1);
  }
  __atomic_fetch_add(&freed, 1, __ATOMIC_RELAXED);
}

/* The pool is zero, and never used twice. */
void* calloc(size_t count, size_t size) { return malloc(count * size); }

void* realloc(void* block, size_t size) {
  void* moved = malloc(size);
  if (block != NULL && moved != NULL) {
    const size_t old = ((size_t*)block)[-1];
    memcpy(moved, block, old < size ? old : size);
    free(block);
  }
  return moved;
}

void* memalign(size_t alignment, size_t size) { return Take(alignment, size); }
void* aligned_alloc(size_t alignment, size_t size) {
  return Take(alignment, size);
}
int posix_memalign(void** out, size_t alignment, size_t size) {
  *out = Take(alignment, size);
  return 0;
}
size_t malloc_usable_size(void* block) { return ((size_t*)block)[-1]; }

static void* InThread(void* unused) {
  (void)unused;
  free(strdup("text"));
  return malloc(10);
}

/* The plugin's malloc must be the C library's. */
static int OpenPlugin(const char* path) {
  void* plugin = dlopen(path, RTLD_NOW | RTLD_DEEPBIND);
  void* libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  if (plugin == NULL || libc == NULL) return 0;
  void* (*get)(void) = (void* (*)(void))dlsym(plugin, "Malloc");
  return get != NULL && get() == dlsym(libc, "malloc");
}

int main(int argc, char** argv) {
  if (argc != 2 || !OpenPlugin(argv[1])) {
    fprintf(stderr, "FAILED: the plugin\n");
    return 1;
  }
  setlocale(LC_ALL, "");
  char* line = NULL;
  size_t length = 0;
  FILE* file = fopen("/etc/passwd", "r");
  while (getline(&line, &length, file) > 0) continue;
  free(line);
  fclose(file);
  closedir(opendir("/"));
  char* text;
  if (asprintf(&text, "%d", 42) != 2) return 1;
  text = realloc(text, 1000);
  free(text);
  pthread_t thread;
  void* block;
  pthread_create(&thread, NULL, InThread, NULL);
  pthread_join(thread, &block);
  free(block);
  printf("%zu blocks, %zu freed\n", allocated, freed);
  return 0;
}
