/* A table of calls: every function of the malloc family, with sensible and
 * absurd sizes, alignments and counts. Prints of each call what can be compared
 * with another malloc: null or not, errno, the return code, the alignment,
 * whether the block is usable and zeroed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The functions, looked up by name: so the compiler does not know what is
 * called, and those that no header declares are there too. */
typedef void* (*BySize)(size_t size);
typedef void* (*ByTwo)(size_t count_or_alignment, size_t size);
typedef void* (*Resize)(void* block, size_t size);
typedef void* (*ResizeArray)(void* block, size_t count, size_t size);
typedef int (*ByCode)(void** out, size_t alignment, size_t size);
typedef void (*Release)(void* block);

static const char* const kBySize[] = {"malloc",  "__libc_malloc",
                                      "valloc",  "__libc_valloc",
                                      "pvalloc", "__libc_pvalloc"};
static const char* const kByCount[] = {"calloc", "__libc_calloc"};
static const char* const kByAlignment[] = {"memalign", "__libc_memalign",
                                           "aligned_alloc"};
static const char* const kByCode[] = {"posix_memalign", "__posix_memalign"};
static const char* const kResize[] = {"realloc", "__libc_realloc"};
static const char* const kResizeArray[] = {"reallocarray",
                                           "__libc_reallocarray"};
static const char* const kRelease[] = {"free", "__libc_free", "cfree"};

/* The function, or the one that does the same where the C library has none of
 * this name. */
static void* FindOr(const char* name, const char* other) {
  void* function = dlsym(RTLD_DEFAULT, name);
  if (function == NULL) function = dlsym(RTLD_DEFAULT, other);
  if (function == NULL) {
    fprintf(stderr, "no function %s\n", name);
    exit(1);
  }
  return function;
}

static void* Find(const char* name) { return FindOr(name, name); }

static size_t (*UsableSize)(void* block);
static Release Free;
static BySize Malloc;

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

/* The error's name. What the call has left alone is "unchanged". */
enum { kBefore = EPERM };

static const char* Name(int error) {
  switch (error) {
    case 0:
      return "0";
    case ENOMEM:
      return "ENOMEM";
    case EINVAL:
      return "EINVAL";
    case kBefore:
      return "unchanged";
    default:
      return strerror(error);
  }
}

/* Printing must not ask for memory in between. */
static char buffer[65536];

static void FreeQuietly(Release release, void* block) {
  errno = kBefore;
  release(block);
  if (errno != kBefore) printf(", its free changed errno");
}

/* What has come of a call for a block, errno being as it left it. */
static void Report(void* block, size_t size, size_t alignment, int zeroed) {
  const int error = errno;
  const unsigned char* bytes = block;
  size_t i;
  printf("%s, errno %s", block ? "block" : "null", Name(error));
  if (block == NULL) {
    printf("\n");
    return;
  }
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
  FreeQuietly(Free, block);
  printf("\n");
}

/* Whether the machine can or cannot provide `size` bytes without doubt. */
static int IsCertain(size_t size) {
  return size < (size_t)1 << 26 || size >= (size_t)1 << 46;
}

static int IsPowerOfTwo(size_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

static void Sizes(const char* name) {
  const BySize call = (BySize)Find(name);
  const int by_page = strstr(name, "valloc") != NULL;
  size_t i;
  for (i = 0; i < COUNT(kSizes); ++i) {
    printf("%s(%#zx): ", name, kSizes[i]);
    errno = kBefore;
    Report(call(kSizes[i]), kSizes[i], by_page ? 4096 : 16, 0);
  }
}

static void Counts(const char* name) {
  const ByTwo call = (ByTwo)Find(name);
  size_t i, j;
  for (i = 0; i < COUNT(kSizes); ++i) {
    printf("%s(1, %#zx): ", name, kSizes[i]);
    errno = kBefore;
    Report(call(1, kSizes[i]), kSizes[i], 16, 1);
    printf("%s(%#zx, 1): ", name, kSizes[i]);
    errno = kBefore;
    Report(call(kSizes[i], 1), kSizes[i], 16, 1);
  }
  for (i = 0; i < COUNT(kCounts); ++i) {
    for (j = 0; j < COUNT(kCounts); ++j) {
      const size_t a = kCounts[i], b = kCounts[j];
      size_t product;
      if (!__builtin_mul_overflow(a, b, &product) && !IsCertain(product)) {
        continue;
      }
      printf("%s(%#zx, %#zx): ", name, a, b);
      errno = kBefore;
      Report(call(a, b), product, 16, 1);
    }
  }
}

static void Alignments(const char* name) {
  const ByTwo call = (ByTwo)Find(name);
  size_t i, j;
  for (i = 0; i < COUNT(kAlignments); ++i) {
    for (j = 0; j < COUNT(kSizes); ++j) {
      const size_t alignment = kAlignments[i], size = kSizes[j];
      printf("%s(%#zx, %#zx): ", name, alignment, size);
      errno = kBefore;
      Report(call(alignment, size), size,
             IsPowerOfTwo(alignment) ? alignment : 16, 0);
    }
  }
}

static void Codes(const char* name) {
  const ByCode call = (ByCode)FindOr(name, "posix_memalign");
  size_t i, j;
  for (i = 0; i < COUNT(kAlignments); ++i) {
    for (j = 0; j < COUNT(kSizes); ++j) {
      const size_t alignment = kAlignments[i], size = kSizes[j];
      void* out = &buffer;
      int code;
      printf("%s(&out, %#zx, %#zx): ", name, alignment, size);
      /* What becomes of errno neither POSIX nor the glibc manual says. */
      code = call(&out, alignment, size);
      printf("returns %s, ", Name(code));
      errno = kBefore;
      if (out != &buffer) {
        Report(out, size, alignment, 0);
      } else {
        printf("out left alone\n");
      }
    }
  }
}

/* What becomes of a block of `from` bytes of which `to` are wanted; `name` is
 * for messages, `call` for a function of either type. */
static void Reallocs(const char* name, Resize call, ResizeArray call_array,
                     size_t from, size_t count, size_t to) {
  unsigned char* block = Malloc(from);
  unsigned char* moved;
  size_t i, wanted, kept;
  for (i = 0; i < from; ++i) block[i] = (unsigned char)(i * 31 + from);
  if (call != NULL) {
    printf("%s(block of %zu, %#zx): ", name, from, to);
  } else {
    printf("%s(block of %zu, %#zx, %#zx): ", name, from, count, to);
  }
  errno = kBefore;
  moved = call != NULL ? call(block, to) : call_array(block, count, to);
  if (moved == NULL) {
    printf("null, errno %s", Name(errno));
    if (count == 0 || to == 0) {
      printf(", freed\n");
      return;
    }
    moved = block;
    kept = from;
  } else {
    printf("block, errno %s", Name(errno));
    wanted = count * to;
    kept = from < wanted ? from : wanted;
    if (UsableSize(moved) < wanted) printf(", usable size too small");
  }
  for (i = 0; i < kept; ++i) {
    if (moved[i] != (unsigned char)(i * 31 + from)) {
      printf(", contents changed");
      break;
    }
  }
  FreeQuietly(Free, moved);
  printf("\n");
}

static const size_t kFrom[] = {0, 1, 16, 100, 1000, 5000, 32768, 40000, 300000};

static void Resizes(const char* name) {
  const Resize call = (Resize)Find(name);
  size_t i, j;
  for (j = 0; j < COUNT(kSizes); ++j) {
    printf("%s(NULL, %#zx): ", name, kSizes[j]);
    errno = kBefore;
    Report(call(NULL, kSizes[j]), kSizes[j], 16, 0);
    for (i = 0; i < COUNT(kFrom); ++i) {
      Reallocs(name, call, NULL, kFrom[i], 1, kSizes[j]);
    }
  }
}

static void ResizeArrays(const char* name) {
  const ResizeArray call = (ResizeArray)Find(name);
  size_t i, j, k;
  for (i = 0; i < COUNT(kCounts); ++i) {
    for (j = 0; j < COUNT(kCounts); ++j) {
      const size_t a = kCounts[i], b = kCounts[j];
      size_t product;
      if (!__builtin_mul_overflow(a, b, &product) && !IsCertain(product)) {
        continue;
      }
      printf("%s(NULL, %#zx, %#zx): ", name, a, b);
      errno = kBefore;
      Report(call(NULL, a, b), product, 16, 0);
      for (k = 0; k < COUNT(kFrom); ++k) {
        Reallocs(name, NULL, call, kFrom[k], a, b);
      }
    }
  }
}

static void Releases(const char* name) {
  const Release call = (Release)FindOr(name, "free");
  size_t i;
  printf("%s(NULL): ", name);
  FreeQuietly(call, NULL);
  printf("\n");
  for (i = 0; i < COUNT(kFrom); ++i) {
    void* block = Malloc(kFrom[i]);
    printf("%s(block of %zu): ", name, kFrom[i]);
    FreeQuietly(call, block);
    printf("\n");
  }
}

/* C23 7.24.3: free, told what was asked for; of null anything can be told. */
static void (*FreeSized)(void* block, size_t size);
static void (*FreeAlignedSized)(void* block, size_t alignment, size_t size);

static void SizedOrNot(void* block, size_t size) {
  if (FreeSized != NULL)
    FreeSized(block, size);
  else
    Free(block);
}
static void AlignedSizedOrNot(void* block, size_t alignment, size_t size) {
  if (FreeAlignedSized != NULL) {
    FreeAlignedSized(block, alignment, size);
  } else {
    Free(block);
  }
}

static void ReleasesSized(void) {
  size_t i, j;
  FreeSized = (void (*)(void*, size_t))dlsym(RTLD_DEFAULT, "free_sized");
  FreeAlignedSized = (void (*)(void*, size_t, size_t))dlsym(
      RTLD_DEFAULT, "free_aligned_sized");
  for (i = 0; i < COUNT(kSizes); ++i) {
    printf("free_sized(NULL, %#zx): ", kSizes[i]);
    errno = kBefore;
    SizedOrNot(NULL, kSizes[i]);
    printf("errno %s\n", Name(errno));
    for (j = 0; j < COUNT(kAlignments); ++j) {
      printf("free_aligned_sized(NULL, %#zx, %#zx): ", kAlignments[j],
             kSizes[i]);
      errno = kBefore;
      AlignedSizedOrNot(NULL, kAlignments[j], kSizes[i]);
      printf("errno %s\n", Name(errno));
    }
  }
  for (i = 0; i < COUNT(kFrom); ++i) {
    void* block = Malloc(kFrom[i]);
    void* aligned = ((ByTwo)Find("aligned_alloc"))(64, kFrom[i]);
    printf("free_sized(block of %zu), free_aligned_sized(the same): ",
           kFrom[i]);
    errno = kBefore;
    SizedOrNot(block, kFrom[i]);
    AlignedSizedOrNot(aligned, 64, kFrom[i]);
    printf("errno %s\n", Name(errno));
  }
}

/* Those that look into the heap: what they find there is its own affair. */
static void Looks(void) {
  static const char* const kInfo[] = {"mallinfo", "__libc_mallinfo"};
  static const size_t kPads[] = {0, 1, 4096, PTRDIFF_MAX, SIZE_MAX};
  int (*const trim)(size_t) = (int (*)(size_t))Find("malloc_trim");
  int (*const info)(int, FILE*) = (int (*)(int, FILE*))Find("malloc_info");
  static const int kOptions[] = {1, -1, INT32_MAX, INT32_MIN};
  char text[4096] = "";
  FILE* stream = fmemopen(text, sizeof(text), "w");
  size_t i;
  int code;
  void* block;
  /* Or it would depend on addresses whether glibc maps the block by itself. */
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  block = Malloc(5000000);
  printf("malloc_usable_size(NULL): %zu\n", UsableSize(NULL));
  for (i = 0; i < COUNT(kPads); ++i) {
    errno = kBefore;
    code = trim(kPads[i]);
    printf("malloc_trim(%#zx): %s, errno %s\n", kPads[i],
           code == 0 || code == 1 ? "0 or 1" : "neither", Name(errno));
  }
  for (i = 0; i < COUNT(kOptions); ++i) {
    errno = kBefore;
    code = info(kOptions[i], stream);
    printf("malloc_info(%d): %s, errno %s\n", kOptions[i], Name(code),
           Name(errno));
  }
  code = info(0, stream);
  fclose(stream);
  printf("malloc_info(0): %s, %.7s\n", Name(code), text);
  for (i = 0; i < COUNT(kInfo); ++i) {
    struct mallinfo (*const call)(void) =
        (struct mallinfo(*)(void))Find(kInfo[i]);
    printf("%s(): a large block, %d\n", kInfo[i], call().hblkhd >= 5000000);
  }
  {
    struct mallinfo2 (*const call)(void) =
        (struct mallinfo2(*)(void))Find("mallinfo2");
    printf("mallinfo2(): a large block, %d\n", call().hblkhd >= 5000000);
  }
  Free(block);
}

int main(void) {
  size_t i;
  setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
  UsableSize = (size_t(*)(void*))Find("malloc_usable_size");
  Free = (Release)Find("free");
  Malloc = (BySize)Find("malloc");

  for (i = 0; i < COUNT(kBySize); ++i) Sizes(kBySize[i]);
  for (i = 0; i < COUNT(kByCount); ++i) Counts(kByCount[i]);
  for (i = 0; i < COUNT(kByAlignment); ++i) Alignments(kByAlignment[i]);
  for (i = 0; i < COUNT(kByCode); ++i) Codes(kByCode[i]);
  for (i = 0; i < COUNT(kResize); ++i) Resizes(kResize[i]);
  for (i = 0; i < COUNT(kResizeArray); ++i) ResizeArrays(kResizeArray[i]);
  for (i = 0; i < COUNT(kRelease); ++i) Releases(kRelease[i]);
  ReleasesSized();
  Looks();
  return 0;
}
