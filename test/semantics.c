/* Calls every function of the malloc family with sensible and absurd arguments
 * and prints what can be compared with another malloc: null or not, errno, the
 * return code, the alignment, whether the block is usable and zeroed. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Volatile: the compiler must not know what is called. */
static void* (*volatile Malloc)(size_t) = malloc;
static void (*volatile Free)(void*) = free;
static void* (*volatile Calloc)(size_t, size_t) = calloc;
static void* (*volatile Realloc)(void*, size_t) = realloc;
static void* (*volatile Reallocarray)(void*, size_t, size_t) = reallocarray;
static void* (*volatile Memalign)(size_t, size_t) = memalign;
static void* (*volatile AlignedAlloc)(size_t, size_t) = aligned_alloc;
static int (*volatile PosixMemalign)(void**, size_t, size_t) = posix_memalign;
static void* (*volatile Valloc)(size_t) = valloc;
static void* (*volatile Pvalloc)(size_t) = pvalloc;
static size_t (*volatile UsableSize)(void*) = malloc_usable_size;

static const size_t kSizes[] = {0,
                                1,
                                15,
                                16,
                                17,
                                24,
                                100,
                                128,
                                129,
                                1000,
                                4095,
                                4096,
                                4097,
                                32767,
                                32768,
                                32769,
                                65535,
                                65536,
                                65537,
                                131072,
                                1000000,
                                (size_t)1 << 46,
                                (size_t)1 << 47,
                                (size_t)1 << 62,
                                PTRDIFF_MAX - 65536,
                                PTRDIFF_MAX - 4096,
                                PTRDIFF_MAX - 15,
                                PTRDIFF_MAX,
                                (size_t)PTRDIFF_MAX + 1,
                                SIZE_MAX - 65536,
                                SIZE_MAX - 4096,
                                SIZE_MAX - 4095,
                                SIZE_MAX - 32,
                                SIZE_MAX - 15,
                                SIZE_MAX - 1,
                                SIZE_MAX};
static const size_t kAlignments[] = {0,
                                     1,
                                     2,
                                     3,
                                     4,
                                     7,
                                     8,
                                     12,
                                     16,
                                     17,
                                     24,
                                     32,
                                     48,
                                     64,
                                     100,
                                     128,
                                     1000,
                                     1024,
                                     4095,
                                     4096,
                                     4097,
                                     8192,
                                     65536,
                                     100000,
                                     1 << 20,
                                     1 << 22,
                                     (size_t)1 << 47,
                                     (size_t)1 << 62,
                                     ((size_t)1 << 62) + 1,
                                     (size_t)1 << 63,
                                     ((size_t)1 << 63) + 1,
                                     SIZE_MAX - 7,
                                     SIZE_MAX};
static const size_t kCounts[] = {0,
                                 1,
                                 2,
                                 3,
                                 16,
                                 1000,
                                 ((size_t)1 << 32) - 1,
                                 (size_t)1 << 32,
                                 ((size_t)1 << 32) + 1,
                                 (size_t)1 << 33,
                                 (size_t)1 << 63,
                                 SIZE_MAX};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char* Name(int error) {
  switch (error) {
    case 0:
      return "0";
    case ENOMEM:
      return "ENOMEM";
    case EINVAL:
      return "EINVAL";
    case EPERM:
      return "unchanged";
    default:
      return strerror(error);
  }
}

/* Printing must not ask for memory in between. */
static char buffer[65536];

/* What errno is set to before each call. */
enum { kBefore = EPERM };

static void Report(const char* call, size_t a, size_t b, void* block,
                   size_t size, size_t alignment, int zeroed) {
  const int error = errno;
  printf("%s(%#zx, %#zx): %s, errno %s", call, a, b, block ? "block" : "null",
         Name(error));
  if (block != NULL) {
    size_t i;
    const unsigned char* bytes = block;
    if ((uintptr_t)block % (alignment < 16 ? 16 : alignment) != 0) {
      printf(", misaligned");
    }
    if (UsableSize(block) < size) printf(", usable size too small");
    for (i = 0; zeroed && i < size; ++i) {
      if (bytes[i] != 0) {
        printf(", not zero");
        break;
      }
    }
    /* All that may be written to, unless it is more than machines have. */
    if (UsableSize(block) < 4 << 20) memset(block, 0xA5, UsableSize(block));
    errno = kBefore;
    Free(block);
    if (errno != kBefore) printf(", free changed errno");
  }
  printf("\n");
}

/* Whether the machine can or cannot provide `size` bytes without doubt. */
static int IsCertain(size_t size) {
  return size < (size_t)1 << 26 || size >= (size_t)1 << 46;
}

static int IsPowerOfTwo(size_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

static void Sizes(void) {
  size_t i;
  for (i = 0; i < COUNT(kSizes); ++i) {
    const size_t size = kSizes[i];
    errno = kBefore;
    Report("malloc", size, 0, Malloc(size), size, 16, 0);
    errno = kBefore;
    Report("calloc", 1, size, Calloc(1, size), size, 16, 1);
    errno = kBefore;
    Report("realloc", 0, size, Realloc(NULL, size), size, 16, 0);
    errno = kBefore;
    Report("valloc", size, 0, Valloc(size), size, 4096, 0);
    errno = kBefore;
    Report("pvalloc", size, 0, Pvalloc(size), size, 4096, 0);
  }
}

static void Counts(void) {
  size_t i, j;
  for (i = 0; i < COUNT(kCounts); ++i) {
    for (j = 0; j < COUNT(kCounts); ++j) {
      const size_t a = kCounts[i], b = kCounts[j];
      size_t product;
      if (!__builtin_mul_overflow(a, b, &product) && !IsCertain(product)) {
        continue;
      }
      errno = kBefore;
      Report("calloc", a, b, Calloc(a, b), 0, 16, 0);
      errno = kBefore;
      Report("reallocarray", a, b, Reallocarray(NULL, a, b), 0, 16, 0);
    }
  }
}

static void Alignments(void) {
  size_t i, j;
  for (i = 0; i < COUNT(kAlignments); ++i) {
    for (j = 0; j < COUNT(kSizes); ++j) {
      const size_t alignment = kAlignments[i], size = kSizes[j];
      const size_t checked = IsPowerOfTwo(alignment) ? alignment : 16;
      void* const before = &buffer;
      void* out = before;
      int code;
      errno = kBefore;
      Report("memalign", alignment, size, Memalign(alignment, size), size,
             checked, 0);
      errno = kBefore;
      Report("aligned_alloc", alignment, size, AlignedAlloc(alignment, size),
             size, checked, 0);
      code = PosixMemalign(&out, alignment, size);
      printf("posix_memalign returns %s, %s\n", Name(code),
             out == before ? "pointer left alone" : "pointer set");
      errno = kBefore;
      if (out != before) {
        Report("posix_memalign", alignment, size, out, size, checked, 0);
      }
    }
  }
}

/* What realloc does to a block of `from` bytes. */
static void Reallocs(size_t from, size_t to) {
  unsigned char* block = Malloc(from);
  unsigned char* moved;
  size_t i;
  const size_t kept = from < to ? from : to;
  for (i = 0; i < from; ++i) block[i] = (unsigned char)(i * 31 + from);
  errno = kBefore;
  moved = Realloc(block, to);
  printf("realloc(%zu -> %#zx): %s, errno %s", from, to,
         moved ? "block" : "null", Name(errno));
  if (moved == NULL && to == 0) {
    printf(", freed\n");
    return;
  }
  if (moved == NULL) moved = block;
  for (i = 0; i < (moved == block && to > PTRDIFF_MAX ? from : kept); ++i) {
    if (moved[i] != (unsigned char)(i * 31 + from)) {
      printf(", contents changed");
      break;
    }
  }
  printf("\n");
  Free(moved);
}

int main(void) {
  static const size_t from[] = {0,    1,     16,    100,   1000,
                                5000, 32768, 40000, 300000};
  size_t i, j;
  char* block;
  setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));

  Sizes();
  Counts();
  Alignments();
  for (i = 0; i < COUNT(from); ++i) {
    for (j = 0; j < COUNT(kSizes); ++j) {
      Reallocs(from[i], kSizes[j]);
    }
  }

  block = Malloc(10);
  errno = kBefore;
  printf("reallocarray(p, 0, 8): %s",
         Reallocarray(block, 0, 8) ? "block" : "null");
  printf(", errno %s\n", Name(errno));
  block = Malloc(10);
  errno = kBefore;
  printf("reallocarray(p, overflow): %s",
         Reallocarray(block, SIZE_MAX / 2, 3) ? "block" : "null");
  printf(", errno %s\n", Name(errno));
  Free(block);
  errno = kBefore;
  Free(NULL);
  printf("free(NULL): errno %s\n", Name(errno));
  printf("malloc_usable_size(NULL): %zu\n", UsableSize(NULL));
  return 0;
}
