// Every function that takes a pointer, with pointers of any value: each call is
// reported, and the program goes on. To be run with LD_PRELOAD (preloaded.sh);
// it runs itself again with the variables that it tests.
#include <dlfcn.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <string>

#include "test/pointers.h"

namespace {

// A function by its name, as the compiler does not know it.
template <typename Function>
Function* Named(const char* name) {
  void* found = dlsym(RTLD_DEFAULT, name);
  if (found == nullptr) {
    printf("there is no %s\n", name);
    exit(2);
  }
  return reinterpret_cast<Function*>(found);
}

using Free = void(void*);
using FreeSized = void(void*, size_t);
using FreeAligned = void(void*, std::align_val_t);
using FreeSizedAligned = void(void*, size_t, std::align_val_t);
using FreeNothrow = void(void*, const std::nothrow_t&);
using FreeAlignedNothrow = void(void*, std::align_val_t, const std::nothrow_t&);
using FreeAlignedSized = void(void*, size_t, size_t);
using Reallocate = void*(void*, size_t);
using ReallocateArray = void*(void*, size_t, size_t);
using UsableSize = size_t(void*);
// jemalloc's, with flags.
using FreeX = void(void*, int);
using FreeSizedX = void(void*, size_t, int);
using UsableSizeX = size_t(const void*, int);
using ResizeX = size_t(void*, size_t, size_t, int);
using ReallocateX = void*(void*, size_t, int);

constexpr auto kAlignment = std::align_val_t{64};
constexpr int kAlignmentFlag = 6;  // of jemalloc: its logarithm

// Calls each with the pointer; how many there are. Exits if errno has changed,
// or something was returned.
int CallAll(void* ptr) {
  static Free* const frees[] = {
      Named<Free>("free"),    Named<Free>("cfree"),  Named<Free>("__libc_free"),
      Named<Free>("AO_free"), Named<Free>("_ZdlPv"), Named<Free>("_ZdaPv"),
  };
  static FreeSized* const sized[] = {
      Named<FreeSized>("free_sized"),
      Named<FreeSized>("_ZdlPvm"),
      Named<FreeSized>("_ZdaPvm"),
  };
  static FreeAligned* const aligned[] = {
      Named<FreeAligned>("_ZdlPvSt11align_val_t"),
      Named<FreeAligned>("_ZdaPvSt11align_val_t"),
  };
  static FreeSizedAligned* const sized_aligned[] = {
      Named<FreeSizedAligned>("_ZdlPvmSt11align_val_t"),
      Named<FreeSizedAligned>("_ZdaPvmSt11align_val_t"),
  };
  static FreeNothrow* const nothrow[] = {
      Named<FreeNothrow>("_ZdlPvRKSt9nothrow_t"),
      Named<FreeNothrow>("_ZdaPvRKSt9nothrow_t"),
  };
  static FreeAlignedNothrow* const aligned_nothrow[] = {
      Named<FreeAlignedNothrow>("_ZdlPvSt11align_val_tRKSt9nothrow_t"),
      Named<FreeAlignedNothrow>("_ZdaPvSt11align_val_tRKSt9nothrow_t"),
  };
  static auto* const free_aligned_sized =
      Named<FreeAlignedSized>("free_aligned_sized");
  static Reallocate* const reallocs[] = {
      Named<Reallocate>("realloc"),
      Named<Reallocate>("__libc_realloc"),
  };
  static ReallocateArray* const arrays[] = {
      Named<ReallocateArray>("reallocarray"),
      Named<ReallocateArray>("__libc_reallocarray"),
  };
  static auto* const usable_size = Named<UsableSize>("malloc_usable_size");
  static auto* const dallocx = Named<FreeX>("dallocx");
  static auto* const sdallocx = Named<FreeSizedX>("sdallocx");
  static auto* const sallocx = Named<UsableSizeX>("sallocx");
  static auto* const xallocx = Named<ResizeX>("xallocx");
  static auto* const rallocx = Named<ReallocateX>("rallocx");

  int calls = 0;
  errno = 77;
  for (Free* f : frees) f(ptr), ++calls;
  for (FreeSized* f : sized) f(ptr, 100), ++calls;
  for (FreeAligned* f : aligned) f(ptr, kAlignment), ++calls;
  for (FreeSizedAligned* f : sized_aligned) f(ptr, 100, kAlignment), ++calls;
  for (FreeNothrow* f : nothrow) f(ptr, std::nothrow), ++calls;
  for (FreeAlignedNothrow* f : aligned_nothrow) {
    f(ptr, kAlignment, std::nothrow), ++calls;
  }
  free_aligned_sized(ptr, 64, 100), ++calls;
  if (usable_size(ptr) != 0) exit(3);
  ++calls;
  dallocx(ptr, 0), ++calls;
  sdallocx(ptr, 100, 0), ++calls;
  sdallocx(ptr, 100, kAlignmentFlag), ++calls;
  if (sallocx(ptr, 0) != 0 || xallocx(ptr, 100, 0, 0) != 0) exit(9);
  calls += 2;
  for (Reallocate* f : reallocs) {
    if (f(ptr, 0) != nullptr) exit(4);
    ++calls;
  }
  if (errno != 77) exit(5);
  for (Reallocate* f : reallocs) {
    if (f(ptr, 100) != nullptr || errno != EINVAL) exit(6);
    ++calls;
  }
  for (ReallocateArray* f : arrays) {
    if (f(ptr, 10, 10) != nullptr || errno != EINVAL) exit(7);
    ++calls;
  }
  for (int flags : {0, kAlignmentFlag}) {
    errno = 77;
    if (rallocx(ptr, 100, flags) != nullptr || errno != EINVAL) exit(10);
    ++calls;
  }
  return calls;
}

// Has the system refuse to tell whether there is memory somewhere.
void RefuseToLook() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{4, program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    exit(8);
  }
}

// What the program does when it is run again: prints how many calls it made.
int CallAllWithAll(const char* how) {
  if (*how == 'r') RefuseToLook();
  int calls = 0;
  aomalloc::ForEachWildPointer([&calls](void* ptr) { calls += CallAll(ptr); });
  printf("%d\n", calls);
  return 42;
}

// Runs it again; what it wrote to `descriptor`, and its status.
std::string RunAgain(const char* enable_mmap, const char* on_error,
                     const char* how, int descriptor, int* status) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], descriptor);
    close(ends[0]);
    close(ends[1]);
    setenv("AO_MALLOC_ENABLE_MMAP", enable_mmap, 1);
    setenv("AO_MALLOC_ON_ERROR", on_error, 1);
    setenv("CALL_ALL", how, 1);
    execl("/proc/self/exe", "entry_points_test", nullptr);
    _exit(9);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  ssize_t length;
  while ((length = read(ends[0], buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<size_t>(length));
  }
  close(ends[0]);
  waitpid(child, status, 0);
  return text;
}

TEST(EntryPointsTest, EachReportsAnyPointer) {
  for (const char* enable_mmap : {"0", "1"}) {
    for (const char* how : {"allowed to look", "refused to look"}) {
      int status = 0;
      const std::string calls =
          RunAgain(enable_mmap, "ignore", how, STDOUT_FILENO, &status);
      EXPECT_EQ(WEXITSTATUS(status), 42) << how << ", status " << status;
      EXPECT_GT(atoi(calls.c_str()), 40000) << calls;
      const std::string said =
          RunAgain(enable_mmap, "warn", how, STDERR_FILENO, &status);
      EXPECT_EQ(WEXITSTATUS(status), 42) << how << ", status " << status;
      EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), atoi(calls.c_str()))
          << "mmap " << enable_mmap << ", " << how;
    }
  }
}

TEST(EntryPointsTest, TheFirstAborts) {
  for (const char* enable_mmap : {"0", "1"}) {
    int status = 0;
    const std::string said =
        RunAgain(enable_mmap, "abort", "allowed", STDERR_FILENO, &status);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << status;
    EXPECT_EQ(said,
              "aomalloc: free(0x1): not a block of this allocator (outside of "
              "the heap)\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const char* how = getenv("CALL_ALL");
  if (how != nullptr) return CallAllWithAll(how);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
