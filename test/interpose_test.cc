// The functions of the preload library as a program sees them that knows
// nothing of it. To be run with LD_PRELOAD (preloaded.sh).
#include <dlfcn.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "test/testing.h"

extern "C" {
void cfree(void* ptr);
void free_sized(void* ptr, size_t size) __attribute__((weak));
void free_aligned_sized(void* ptr, size_t alignment, size_t size)
    __attribute__((weak));
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* ptr, size_t size);
void __libc_free(void* ptr);
void* __libc_memalign(size_t alignment, size_t size);
void* __libc_valloc(size_t size);
void* __libc_pvalloc(size_t size);
}

namespace aomalloc {
namespace {

// The library that a function comes from.
std::string OriginOf(const char* function) {
  Dl_info info{};
  void* address = dlsym(RTLD_DEFAULT, function);
  if (address == nullptr || dladdr(address, &info) == 0) return "";
  const char* slash = strrchr(info.dli_fname, '/');
  return slash != nullptr ? slash + 1 : info.dli_fname;
}

class OriginTest : public testing::TestWithParam<const char*> {};

TEST_P(OriginTest, IsThisLibrary) {
  EXPECT_EQ(OriginOf(GetParam()), "libaomalloc.so");
}

INSTANTIATE_TEST_SUITE_P(
    Functions, OriginTest,
    testing::Values("malloc", "calloc", "realloc", "free", "aligned_alloc",
                    "posix_memalign", "reallocarray", "memalign", "valloc",
                    "pvalloc", "cfree", "malloc_usable_size", "mallinfo",
                    "mallinfo2", "mallopt", "malloc_stats", "malloc_info",
                    "malloc_trim", "free_sized", "free_aligned_sized",
                    "__libc_malloc", "__libc_free", "_Znwm", "_ZdlPv",
                    "AO_malloc", "AO_free", "AO_malloc_enable_mmap"));

TEST(InterposeTest, BlocksOfNoBytesAreDistinct) {
  std::set<void*> blocks;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(blocks.insert(malloc(0)).second);
    EXPECT_TRUE(blocks.insert(calloc(0, 8)).second);
    EXPECT_TRUE(blocks.insert(realloc(nullptr, 0)).second);
    EXPECT_TRUE(blocks.insert(memalign(64, 0)).second);
  }
  EXPECT_EQ(blocks.count(nullptr), 0u);
  for (void* block : blocks) free(block);
}

TEST(InterposeTest, EverySizeIsAlignedToSixteenBytes) {
  for (size_t size = 0; size < 70000; size += size < 2000 ? 1 : 123) {
    void* block = malloc(size);
    ASSERT_NE(block, nullptr);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % 16, 0u) << size;
    ASSERT_GE(malloc_usable_size(block), size);
    free(block);
  }
}

// POSIX.1-2024 free, and glibc since 2.33.
TEST(InterposeTest, FreeKeepsErrno) {
  for (size_t size : {1ul, 5000ul, 32768ul, 40000ul, 10000000ul, 100000000ul}) {
    std::vector<void*> blocks;
    for (int i = 0; i < 20; ++i) {
      blocks.push_back(malloc(size));
      if (size <= 40000) memset(blocks.back(), 1, size);
    }
    errno = 12345;
    for (void* block : blocks) free(block);
    EXPECT_EQ(errno, 12345) << size;
  }
  errno = 12345;
  free(nullptr);
  EXPECT_EQ(errno, 12345);
}

TEST(InterposeTest, SuccessLeavesErrnoAlone) {
  errno = 12345;
  void* volatile block = malloc(100);
  block = realloc(block, 100000);
  block = realloc(block, 10000000);
  free(block);
  free(calloc(3, 5000));
  EXPECT_EQ(errno, 12345);
}

TEST(InterposeTest, FailedPosixMemalignLeavesThePointerAlone) {
  void* before = &before;
  void* out = before;
  EXPECT_EQ(posix_memalign(&out, 3, 8), EINVAL);
  EXPECT_EQ(posix_memalign(&out, 4, 8), EINVAL);
  EXPECT_EQ(posix_memalign(&out, 0, 8), EINVAL);
  EXPECT_EQ(posix_memalign(&out, 64, PTRDIFF_MAX), ENOMEM);
  EXPECT_EQ(out, before);
}

TEST(InterposeTest, FailedReallocLeavesTheBlockAlone) {
  for (size_t size : {100ul, 100000ul}) {
    auto* block = static_cast<char*>(malloc(size));
    Fill(block, size, 7);
    for (volatile size_t absurd :
         {size_t{PTRDIFF_MAX}, SIZE_MAX, SIZE_MAX - 15}) {
      errno = 0;
      EXPECT_EQ(realloc(block, absurd), nullptr);
      EXPECT_EQ(errno, ENOMEM);
    }
    EXPECT_TRUE(IsFilled(block, size, 7));
    free(block);
  }
}

TEST(InterposeTest, FreesThatKnowTheSize) {
  ASSERT_NE(free_sized, nullptr);
  ASSERT_NE(free_aligned_sized, nullptr);
  free_sized(malloc(100), 100);
  free_sized(nullptr, 0);
  free_aligned_sized(aligned_alloc(256, 512), 256, 512);
  free_aligned_sized(nullptr, 64, 0);
}

TEST(InterposeTest, OldNames) {
  void* block = __libc_realloc(__libc_malloc(100), 100000);
  EXPECT_GE(malloc_usable_size(block), 100000u);
  __libc_free(block);
  block = __libc_calloc(10, 10);
  EXPECT_TRUE(IsZero(block, 100));
  free(block);
  void* const blocks[] = {__libc_memalign(4096, 10), __libc_valloc(10),
                          __libc_pvalloc(10)};
  for (void* page : blocks) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(page) % 4096, 0u);
    __libc_free(page);
  }
}

TEST(InterposeTest, MallinfoSeesWhatIsAllocated) {
  const struct mallinfo2 before = mallinfo2();
  std::vector<void*> blocks(1000);
  for (void*& block : blocks) block = malloc(1000);
  void* large = malloc(5000000);
  const struct mallinfo2 after = mallinfo2();
  EXPECT_GE(after.uordblks, before.uordblks + blocks.size() * 1000);
  EXPECT_LE(after.uordblks, before.uordblks + blocks.size() * 1200 + 65536);
  EXPECT_GE(after.hblkhd, before.hblkhd + 5000000);
  EXPECT_EQ(after.hblks, before.hblks + 1);
  EXPECT_EQ(after.arena, after.uordblks + after.fordblks);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  EXPECT_EQ(static_cast<size_t>(mallinfo().uordblks), mallinfo2().uordblks);
#pragma GCC diagnostic pop
  for (void* block : blocks) free(block);
  free(large);
  EXPECT_LE(mallinfo2().uordblks, before.uordblks + 65536);
  EXPECT_EQ(mallinfo2().hblkhd, before.hblkhd);
}

TEST(InterposeTest, MalloptHonoursTheTrimThreshold) {
  // What was freed stays, up to so much.
  constexpr size_t kBytes = 64 << 20;
  for (int megabytes : {0, 100, -1}) {
    ASSERT_EQ(mallopt(M_TRIM_THRESHOLD, megabytes << 20), 1);
    malloc_trim(0);
    void* block = malloc(kBytes);
    memset(block, 1, kBytes);
    const size_t peak = ResidentBytes();
    free(block);
    if (megabytes != 0) {
      EXPECT_GE(ResidentBytes(), peak - (1 << 20)) << megabytes;
    } else {
      EXPECT_LT(ResidentBytes(), peak - kBytes + (4 << 20));
    }
  }
}

TEST(InterposeTest, MallinfoDoesNotCountWhatAnotherThreadHasFreed) {
  std::vector<void*> blocks(1000);
  const size_t before = mallinfo2().uordblks;
  for (void*& block : blocks) block = malloc(1000);
  std::thread([&] {
    for (void* block : blocks) free(block);
  }).join();
  EXPECT_LE(mallinfo2().uordblks, before + 65536);
}

// The number in the first `field` after the first `element`.
size_t Field(const char* xml, const char* element, const char* field) {
  const char* at = strstr(xml, element);
  if (at != nullptr) at = strstr(at, field);
  return at == nullptr ? 0 : strtoul(at + strlen(field) + 2, nullptr, 10);
}

TEST(InterposeTest, MallocInfoHasGlibcsShape) {
  char* xml = nullptr;
  size_t length = 0;
  std::vector<void*> blocks(100);
  for (void*& block : blocks) block = malloc(1500);
  for (size_t i = 0; i < 100; i += 2) free(blocks[i]);
  void* large = malloc(5000000);
  FILE* stream = open_memstream(&xml, &length);
  ASSERT_EQ(malloc_info(0, stream), 0);
  fclose(stream);
  const char* at = xml;
  for (const char* part :
       {"<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n",
        "<size from=\"1536\" to=\"1536\" total=",
        "</sizes>\n<total type=\"fast\"", "<total type=\"rest\"",
        "<system type=\"current\"", "<system type=\"max\"",
        "<aspace type=\"total\"", "<aspace type=\"mprotect\"",
        "</heap>\n<total type=\"fast\"", "<total type=\"rest\"",
        "<total type=\"mmap\"", "<system type=\"current\"",
        "<system type=\"max\"", "<aspace type=\"total\"",
        "<aspace type=\"mprotect\"", "</malloc>\n"}) {
    at = strstr(at, part);
    ASSERT_NE(at, nullptr) << part << " in " << xml;
  }
  EXPECT_GE(Field(xml, "from=\"1536\"", "count"), 50u);
  EXPECT_EQ(Field(xml, "from=\"1536\"", "total"),
            Field(xml, "from=\"1536\"", "count") * 1536);
  EXPECT_GE(Field(xml, "type=\"mmap\"", "size"), 5000000u);
  for (size_t i = 1; i < 100; i += 2) free(blocks[i]);
  free(large);
  free(xml);
}

// Programs insist on a limit to glibc's arenas, say, and stop if it is refused.
TEST(InterposeTest, MalloptAcceptsGlibcsLimits) {
  for (int parameter : {M_MXFAST, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX,
                        M_CHECK_ACTION, M_ARENA_TEST, M_ARENA_MAX}) {
    EXPECT_EQ(mallopt(parameter, 1), 1) << parameter;
  }
}

TEST(InterposeTest, MalloptRefusesWhatHasNoEffect) {
  EXPECT_EQ(mallopt(M_PERTURB, 0xa5), 0);
  EXPECT_EQ(mallopt(12345, 1), 0);
}

TEST(InterposeTest, TrimGivesMemoryBack) {
  constexpr size_t kBytes = 64 << 20;
  void* block = malloc(kBytes);
  memset(block, 1, kBytes);
  const size_t peak = ResidentBytes();
  free(block);
  EXPECT_EQ(malloc_trim(0), 1);
  EXPECT_LT(ResidentBytes(), peak - kBytes + (4 << 20));
}

TEST(InterposeTest, MallocInfoWritesWellFormedXml) {
  const char* folder = getenv("TEST_TMPDIR");
  ASSERT_NE(folder, nullptr);
  const std::string path = std::string(folder) + "/info.xml";
  FILE* file = fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(malloc_info(0, file), 0);
  fclose(file);
  const std::string parse =
      "/usr/bin/python3 -c 'import sys, xml.etree.ElementTree as e; "
      "r = e.parse(sys.argv[1]).getroot(); assert r.tag == \"malloc\"; "
      "assert "
      "int(r.find(\"heap/system[@type=\\\"current\\\"]\").get(\"size\")) > 0' ";
  EXPECT_EQ(system((parse + path).c_str()), 0);
  EXPECT_EQ(malloc_info(1, stderr), EINVAL) << "there are no options";
}

TEST(InterposeTest, StatsAreAReportOnStderr) {
  testing::internal::CaptureStderr();
  malloc_stats();
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.rfind("aomalloc: the heap of process ", 0), 0u) << text;
  EXPECT_EQ(text.back(), '\n');
}

}  // namespace
}  // namespace aomalloc
