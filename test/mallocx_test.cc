// jemalloc's own functions, in a program that is linked to jemalloc or may be.
// To be run with LD_PRELOAD (preloaded.sh).
#include <dlfcn.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <string>

namespace {

// The flags of jemalloc.h.
constexpr int kZero = 0x40;
int Align(size_t alignment) { return __builtin_ctzl(alignment); }
// An arena and a cache that a program has made.
constexpr int kOfItsOwn = (3 << 20) | (5 << 8);

template <typename Function>
Function* Named(const char* name) {
  void* found = dlsym(RTLD_DEFAULT, name);
  if (found == nullptr) ADD_FAILURE() << "there is no " << name;
  return reinterpret_cast<Function*>(found);
}

auto* const mallocx = Named<void*(size_t, int)>("mallocx");
auto* const rallocx = Named<void*(void*, size_t, int)>("rallocx");
auto* const xallocx = Named<size_t(void*, size_t, size_t, int)>("xallocx");
auto* const sallocx = Named<size_t(const void*, int)>("sallocx");
auto* const dallocx = Named<void(void*, int)>("dallocx");
auto* const sdallocx = Named<void(void*, size_t, int)>("sdallocx");
auto* const nallocx = Named<size_t(size_t, int)>("nallocx");

constexpr size_t kSizes[] = {1, 16, 100, 4000, 33000, 200000};
constexpr size_t kAlignments[] = {1, 16, 64, 4096, 131072};
// More than there is, and not known to the compiler.
volatile size_t too_much = size_t{1} << 62;

bool IsAll(int value, const void* ptr, size_t from, size_t to) {
  const auto* bytes = static_cast<const unsigned char*>(ptr);
  while (from < to && bytes[from] == value) ++from;
  return from == to;
}

// Leaves freed blocks behind that are not zero.
void Soil(size_t size) {
  void* blocks[8];
  for (void*& block : blocks) {
    block = malloc(size);
    ASSERT_NE(block, nullptr);
    memset(block, 0x5a, malloc_usable_size(block));
  }
  for (void* block : blocks) free(block);
}

TEST(MallocxTest, BlocksAreThoseOfMalloc) {
  for (size_t size : kSizes) {
    void* block = mallocx(size, kOfItsOwn);
    ASSERT_NE(block, nullptr);
    EXPECT_GE(malloc_usable_size(block), size);
    EXPECT_EQ(malloc_usable_size(block), sallocx(block, kOfItsOwn));
    EXPECT_EQ(malloc_usable_size(block), xallocx(block, size, 0, 0));
    EXPECT_GE(malloc_usable_size(block), nallocx(size, 0));
    EXPECT_GE(nallocx(size, 0), size);
    free(block);

    block = rallocx(malloc(size), size * 3, kOfItsOwn);
    ASSERT_NE(block, nullptr);
    EXPECT_GE(malloc_usable_size(block), size * 3);
    dallocx(realloc(block, size), kOfItsOwn);
  }
}

TEST(MallocxTest, BlocksAreAligned) {
  for (size_t alignment : kAlignments) {
    for (size_t size : kSizes) {
      void* block = mallocx(size, Align(alignment) | kOfItsOwn);
      ASSERT_NE(block, nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % alignment, 0U);
      memset(block, 7, size);
      size_t before = size;
      for (size_t resized : {size * 2, size / 2 + 1, size * 3}) {
        block = rallocx(block, resized, Align(alignment));
        ASSERT_NE(block, nullptr);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % alignment, 0U);
        EXPECT_GE(malloc_usable_size(block), resized);
        EXPECT_TRUE(IsAll(7, block, 0, resized < before ? resized : before));
        memset(block, 7, resized);
        before = resized;
      }
      sdallocx(block, size * 3, Align(alignment) | kOfItsOwn);
    }
  }
}

TEST(MallocxTest, BlocksGetAnAlignmentThatTheyDidNotHave) {
  for (size_t size : kSizes) {
    // The next one is not aligned, whatever the first one is.
    void* blocks[] = {malloc(size), malloc(size), malloc(size)};
    for (void* block : blocks) {
      memset(block, 9, size);
      block = rallocx(block, size, Align(65536));
      ASSERT_NE(block, nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 65536, 0U);
      EXPECT_TRUE(IsAll(9, block, 0, size));
      dallocx(block, 0);
    }
  }
}

TEST(MallocxTest, ZeroedBlocksStayZeroAsTheyGrow) {
  for (size_t alignment : kAlignments) {
    for (size_t size : kSizes) {
      const int flags = Align(alignment) | kZero;
      Soil(size);
      auto* block = static_cast<char*>(mallocx(size, flags));
      ASSERT_NE(block, nullptr);
      EXPECT_TRUE(IsAll(0, block, 0, malloc_usable_size(block)));
      for (size_t resized : {size * 2, size * 4}) {
        Soil(resized);
        block = static_cast<char*>(rallocx(block, resized, flags));
        ASSERT_NE(block, nullptr);
        EXPECT_TRUE(IsAll(0, block, 0, malloc_usable_size(block)));
      }
      dallocx(block, 0);
    }
  }
}

TEST(MallocxTest, SizesFromTheRequestedToTheUsableOneFreeABlock) {
  for (size_t alignment : {size_t{1}, size_t{32}, size_t{1024}}) {
    for (size_t size = 1; size < 40000; size += size / 7 + 1) {
      const int flags = Align(alignment);
      sdallocx(mallocx(size, flags), size, flags);
      sdallocx(mallocx(size, flags), nallocx(size, flags), flags);
      void* block = mallocx(size, flags);
      sdallocx(block, sallocx(block, flags), flags);
    }
  }
}

TEST(MallocxTest, WithoutMemoryThereIsNullAndTheBlockStays) {
  for (size_t alignment : kAlignments) {
    for (int zero : {0, kZero}) {
      const int flags = Align(alignment) | zero;
      errno = 0;
      EXPECT_EQ(mallocx(too_much, flags), nullptr);
      EXPECT_EQ(errno, ENOMEM);
      void* block = mallocx(100, flags);
      memset(block, 7, 100);
      errno = 0;
      EXPECT_EQ(rallocx(block, too_much, flags), nullptr);
      EXPECT_EQ(errno, ENOMEM);
      EXPECT_TRUE(IsAll(7, block, 0, 100));
      dallocx(block, 0);
    }
  }
  EXPECT_EQ(nallocx(SIZE_MAX, 0), 0U);
}

TEST(MallocxTest, MisuseIsReported) {
  EXPECT_DEATH(sdallocx(mallocx(100, 0), 5000, 0),
               "aomalloc: sdallocx\\(.*\\): freed as 5000 bytes");
  // Blocks beside it keep the slab.
  void* blocks[] = {mallocx(100, 0), mallocx(100, 0), mallocx(100, 0)};
  void* block = blocks[1];
  dallocx(block, 0);
  EXPECT_DEATH(dallocx(block, 0), "aomalloc: dallocx\\(.*\\): double free");
  dallocx(blocks[0], 0);
  dallocx(blocks[2], 0);
}

}  // namespace
