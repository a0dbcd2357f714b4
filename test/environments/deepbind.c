/* deepbind PLUGIN: frees, resizes and measures what a plugin allocated that has
   another malloc: glibc's own, which RTLD_DEEPBIND leads to. And nothing else
   is handed to that malloc, however like its blocks it looks. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Frees what has the header of a large block of glibc's, which that would
   unmap, with `before` bytes before it. `area` has 5 pages. */
static void* FreeForged(void* area, size_t before) {
  const uintptr_t page = ((uintptr_t)area + 4095) / 4096 * 4096;
  size_t* header = (size_t*)page;
  header[0] = before;
  header[1] = (2 * 4096) | 2;
  close(2);
  free(header + 2);
  return NULL;
}

static void* FreeForgedOnStack(void* unused) {
  unsigned char area[5 * 4096];
  (void)unused;
  return FreeForged(area, 16 * 4096);
}

static void ExpectRefusal(const char* where, void* area, int in_thread) {
  const pid_t child = fork();
  int status = 0;
  if (child == 0) {
    pthread_t thread;
    if (in_thread) {
      pthread_create(&thread, NULL, FreeForgedOnStack, NULL);
      pthread_join(thread, NULL);
    } else if (area == NULL) {
      FreeForgedOnStack(NULL);
    } else {
      FreeForged(area, 0);
    }
    _exit(0);
  }
  waitpid(child, &status, 0);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) {
    fprintf(stderr, "FAILED: a forged block in %s: %x\n", where, status);
    exit(1);
  }
}

static unsigned char data_of_program[5 * 4096];

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
  if (getenv("LD_PRELOAD") != NULL) {
    ExpectRefusal("the program's data", data_of_program, 0);
    ExpectRefusal("a library's data", Find("data_of_plugin"), 0);
    ExpectRefusal("a block of ours", malloc(100000), 0);
    ExpectRefusal("the first stack", NULL, 0);
    ExpectRefusal("the frames of a thread", NULL, 1);
  }
  printf("done\n");
  return 0;
}
