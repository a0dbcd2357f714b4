/* Loaded with RTLD_DEEPBIND. Its malloc is the C library's own, whatever was
   preloaded, unless aomalloc takes that flag off. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void* Fill(void* block, size_t size) {
  if (block != NULL) memset(block, 0x5A, size);
  return block;
}

void* Make(size_t size) { return Fill(malloc(size), size); }
void* MakeAligned(size_t alignment, size_t size) {
  return Fill(memalign(alignment, size), size);
}
void* MakeZeroed(size_t size) { return calloc(1, size); }
unsigned char data_of_plugin[5 * 4096];
void Destroy(void* block) { free(block); }
void* Malloc(void) { return (void*)malloc; }

/* A plain name is looked for in this library's RUNPATH. (The call returns here:
   as a jump it would look like the program's own.) */
void* Open(const char* name) {
  void* volatile opened = dlopen(name, RTLD_NOW | RTLD_DEEPBIND);
  return opened;
}

struct Request {
  size_t size;
  void* block;
};

static void* InThread(void* argument) {
  struct Request* request = argument;
  request->block = Make(request->size);
  return NULL;
}

/* In a thread of its own, which has an arena of its own. */
void* MakeInThread(size_t size) {
  struct Request request = {size, NULL};
  pthread_t thread;
  if (pthread_create(&thread, NULL, InThread, &request) != 0) return NULL;
  pthread_join(thread, NULL);
  return request.block;
}
