// What is not a live block is reported, in one line, and the process aborted.
// To be run with LD_PRELOAD (preloaded.sh), each case in a child process.
#include <gtest/gtest.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <regex>
#include <string>
#include <thread>

namespace {

// The compiler must not know what is wrong.
void* volatile pointer;
char in_data[100];

struct Outcome {
  int status = 0;
  std::string errors;
};

template <typename F>
Outcome InChild(F f) {
  Outcome outcome;
  int pipe_ends[2];
  EXPECT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe_ends[1], 2);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    f();
    _exit(0);
  }
  close(pipe_ends[1]);
  char buffer[1000];
  ssize_t length;
  while ((length = read(pipe_ends[0], buffer, sizeof(buffer))) > 0) {
    outcome.errors.append(buffer, static_cast<size_t>(length));
  }
  close(pipe_ends[0]);
  waitpid(child, &outcome.status, 0);
  return outcome;
}

// One line that names the call and the pointer, then SIGABRT.
template <typename F>
void ExpectReport(const char* call, F f) {
  const Outcome outcome = InChild(f);
  EXPECT_TRUE(WIFSIGNALED(outcome.status) &&
              WTERMSIG(outcome.status) == SIGABRT)
      << "status " << outcome.status;
  const std::regex line(std::string("aomalloc: ") + call +
                        "\\(0x[0-9a-f]+\\): [^\n]+\n");
  EXPECT_TRUE(std::regex_match(outcome.errors, line)) << outcome.errors;
}

TEST(MisuseTest, ALiveBlockIsFine) {
  const Outcome outcome = InChild([] {
    free(malloc(10));
    free(malloc(1000000));
    free(nullptr);
  });
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.errors, "");
}

TEST(MisuseTest, FreedSpan) {
  ExpectReport("free", [] {
    pointer = malloc(1000000);
    free(pointer);
    free(pointer);
  });
}

TEST(MisuseTest, FreedSlab) {
  // The last free of a slab that malloc does not use gives it back.
  ExpectReport("free", [] {
    static void* blocks[5000];
    for (void*& block : blocks) block = malloc(1000);
    pointer = blocks[2500];  // its slab has nothing else
    for (void* block : blocks) free(block);
    malloc_trim(0);
    free(pointer);
  });
}

TEST(MisuseTest, InsideASpan) {
  for (ptrdiff_t offset : {16, 4096, 65536, 999999}) {
    ExpectReport("free", [=] {
      pointer = static_cast<char*>(malloc(1000000)) + offset;
      free(pointer);
    });
  }
}

// The owner's own free is too short to look.
TEST(MisuseTest, InsideABlockOfAnotherThread) {
  ExpectReport("free", [] {
    std::thread([] { pointer = static_cast<char*>(malloc(1000)) + 16; }).join();
    free(pointer);
  });
}

TEST(MisuseTest, ReallocInsideABlock) {
  ExpectReport("realloc", [] {
    pointer = static_cast<char*>(malloc(1000)) + 16;
    pointer = realloc(pointer, 2000);
  });
}

TEST(MisuseTest, ForeignPointers) {
  ExpectReport("free", [] {
    char on_stack[100];
    pointer = on_stack;
    free(pointer);
  });
  ExpectReport("free", [] {
    pointer = in_data;
    free(pointer);
  });
  ExpectReport("free", [] {
    pointer = reinterpret_cast<void*>(&strlen);
    free(pointer);
  });
}

// Two words before a block tell whether glibc knows it; here they look as if.
TEST(MisuseTest, WhatOnlyLooksLikeABlockOfTheCLibrary) {
  constexpr size_t kInUse = 1, kMapped = 2, kOfThread = 4;
  alignas(16) static size_t words[16];
  for (size_t flag : {size_t{0}, kOfThread}) {
    ExpectReport("free", [=] {
      words[1] = 64 | kInUse | flag;
      words[9] = 64 | kInUse;
      pointer = &words[2];
      free(pointer);
    });
  }
  // In the main heap, but in use is what is not marked so.
  ExpectReport("realloc", [] {
    auto* chunk = static_cast<size_t*>(sbrk(4096));
    chunk = reinterpret_cast<size_t*>(
        (reinterpret_cast<uintptr_t>(chunk) + 15) & ~uintptr_t{15});
    chunk[1] = 64 | kInUse;
    pointer = realloc(&chunk[2], 100);
  });
  // Longer than what is mapped.
  ExpectReport("malloc_usable_size", [] {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    auto* chunk =
        static_cast<size_t*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    munmap(chunk + page / sizeof(size_t), page);
    chunk[1] = 2 * page | kMapped;
    pointer = reinterpret_cast<void*>(malloc_usable_size(&chunk[2]));
  });
}

TEST(MisuseTest, AddressesOfNothing) {
  for (uintptr_t address :
       {uintptr_t{1}, uintptr_t{16}, uintptr_t{0xdead0000}, UINTPTR_MAX,
        UINTPTR_MAX - 15, uintptr_t{1} << 63, uintptr_t{1} << 47}) {
    ExpectReport("free", [=] {
      pointer = reinterpret_cast<void*>(address);
      free(pointer);
    });
  }
}

// Near real blocks, in what is reserved but was never used.
TEST(MisuseTest, AddressesThatWereNeverHandedOut) {
  for (ptrdiff_t distance :
       {ptrdiff_t{1} << 28, ptrdiff_t{1} << 32, ptrdiff_t{1} << 36}) {
    ExpectReport("free", [=] {
      pointer = static_cast<char*>(malloc(100)) + distance;
      free(pointer);
    });
  }
}

TEST(MisuseTest, TheCallIsNamed) {
  pointer = in_data;
  ExpectReport("realloc", [] { pointer = realloc(pointer, 10); });
  ExpectReport("realloc", [] { pointer = realloc(pointer, 0); });
  ExpectReport("malloc_usable_size",
               [] { _exit(malloc_usable_size(pointer) > 0); });
  ExpectReport("operator delete", [] { operator delete(pointer); });
  ExpectReport("operator delete", [] { operator delete[](pointer); });
}

TEST(MisuseTest, TheProgramsHandlerRuns) {
  const Outcome outcome = InChild([] {
    signal(SIGABRT, [](int) {
      free(malloc(100));  // The allocator is still there for it.
      _exit(42);
    });
    pointer = &in_data;
    free(pointer);
  });
  EXPECT_TRUE(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 42);
}

TEST(MisuseTest, AHandlerThatReturnsDoesNotSaveTheProcess) {
  ExpectReport("free", [] {
    signal(SIGABRT, [](int) {});
    pointer = &in_data;
    free(pointer);
  });
}

TEST(MisuseTest, NeitherIgnoringNorBlockingTheSignalDoes) {
  ExpectReport("free", [] {
    signal(SIGABRT, SIG_IGN);
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    pointer = &in_data;
    free(pointer);
  });
}

}  // namespace
