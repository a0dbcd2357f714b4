/* deepbind PLUGIN LARGEST [NAME]: a plugin that is loaded with RTLD_DEEPBIND.
   The program frees, resizes and measures what the plugin allocated, in sizes
   up to LARGEST. By default both have one malloc, so the plugin frees the
   program's blocks as well. With AO_MALLOC_KEEP_DEEPBIND the plugin has glibc's
   own. Nothing else is handed to that, however like its blocks it looks. With
   NAME the plugin loads a library of that name, too. */
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

/* What the program's malloc has handed out. */
static size_t Live(void) {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

enum { kBlocks = 50, kBlockBytes = 8000, kBytes = kBlocks * kBlockBytes };

/* Blocks of the plugin's malloc count as the program's, or do not. */
static void CheckCount(void* (*make)(size_t), void (*destroy)(void*),
                       int one_malloc) {
  void* blocks[kBlocks];
  const size_t before = Live();
  for (int i = 0; i < kBlocks; ++i) blocks[i] = make(kBlockBytes);
  const size_t added = Live() - before;
  if (one_malloc ? added < kBytes : added != 0) Fail("blocks counted", added);
  for (int i = 0; i < kBlocks; ++i) free(blocks[i]);
  if (!one_malloc) return;
  if (Live() - before > kBytes / 2) Fail("freed by the program", Live());
  for (int i = 0; i < kBlocks; ++i) blocks[i] = malloc(kBlockBytes);
  for (int i = 0; i < kBlocks; ++i) destroy(blocks[i]);
  if (Live() - before > kBytes / 2) Fail("freed by the plugin", Live());
}

static unsigned char data_of_program[5 * 4096];

int main(int argc, char** argv) {
  const int preloaded = getenv("LD_PRELOAD") != NULL;
  const char* keep = getenv("AO_MALLOC_KEEP_DEEPBIND");
  const int one_malloc = !preloaded || keep == NULL || strcmp(keep, "1") != 0;
  if (argc < 3) return 2;
  const size_t largest = strtoul(argv[2], NULL, 10);
  /* The first call of all is one that fails. */
  if (dlopen("deepbind_nothing.so", RTLD_NOW) != NULL) Fail("nothing", 0);
  puts(dlerror());
  plugin = dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND);
  if (plugin == NULL) Fail("dlopen", 0);
  void* (*make)(size_t) = (void* (*)(size_t))Find("Make");
  void* (*make_in_thread)(size_t) = (void* (*)(size_t))Find("MakeInThread");
  void* (*make_zeroed)(size_t) = (void* (*)(size_t))Find("MakeZeroed");
  void* (*make_aligned)(size_t, size_t) =
      (void* (*)(size_t, size_t))Find("MakeAligned");
  void (*destroy)(void*) = (void (*)(void*))Find("Destroy");
  void* (*malloc_of_plugin)(void) = (void* (*)(void))Find("Malloc");
  void* (*open_by_plugin)(const char*) = (void* (*)(const char*))Find("Open");
  if ((malloc_of_plugin() == (void*)malloc) != one_malloc) {
    Fail("the plugin has the wrong malloc", 0);
  }
  CheckCount(make, destroy, one_malloc);
  if (argc == 4) {
    if (dlopen(argv[3], RTLD_NOW) != NULL) Fail("found by the program", 0);
    puts(dlerror());
    plugin = open_by_plugin(argv[3]);
    if (plugin == NULL) Fail(dlerror(), 0);
    malloc_of_plugin = (void* (*)(void))Find("Malloc");
    if ((malloc_of_plugin() == (void*)malloc) != one_malloc) {
      Fail("the plugin's plugin has the wrong malloc", 0);
    }
  }

  static const size_t kSizes[] = {1,     16,     24,     100,     1000,   4096,
                                  10000, 100000, 140000, 1 << 20, 5 << 20};
  for (int round = 0; round < 10; ++round) {
    for (size_t i = 0; i < sizeof(kSizes) / sizeof(kSizes[0]); ++i) {
      const size_t size = kSizes[i];
      if (size > largest) break;
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
      if (one_malloc) destroy(malloc(size));
    }
  }
  if (preloaded) {
    ExpectRefusal("the program's data", data_of_program, 0);
    ExpectRefusal("a library's data", Find("data_of_plugin"), 0);
    ExpectRefusal("a block of ours", malloc(100000), 0);
    ExpectRefusal("the first stack", NULL, 0);
    ExpectRefusal("the frames of a thread", NULL, 1);
  }
  printf("done\n");
  return 0;
}
