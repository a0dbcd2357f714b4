// What is not a live block is reported, in one line, and the process aborted.
// To be run with LD_PRELOAD (preloaded.sh), each case in a child process.
#include <dlfcn.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <new>
#include <regex>
#include <set>
#include <string>
#include <thread>

#include "test/outcome.h"

namespace {

// The compiler must not know what is wrong.
void* volatile pointer;
char in_data[100];

char* Bytes(size_t size) { return static_cast<char*>(malloc(size)); }

// One line that names the call and the pointer, and says what is wrong and what
// is known of the block; then SIGABRT.
template <typename F>
void ExpectReport(const char* call, const char* what, F f) {
  const Outcome outcome = InChild(f);
  EXPECT_TRUE(WIFSIGNALED(outcome.status) &&
              WTERMSIG(outcome.status) == SIGABRT)
      << "status " << outcome.status;
  const std::regex line(std::string("aomalloc: ") + call +
                        "\\(0x[0-9a-f]+\\): " + what + " \\([^\n()]+\\)\n");
  EXPECT_TRUE(std::regex_match(outcome.errors, line))
      << outcome.errors << "instead of " << call << ", " << what;
}
template <typename F>
void ExpectReport(const char* call, F f) {
  ExpectReport(call, "[^\n(]+", f);
}

constexpr char kDoubleFree[] = "double free";
constexpr char kInside[] = "inside a block";
constexpr char kUnknown[] = "not a block of this allocator";
constexpr char kWritten[] = "written to after it was freed";

// Runs `f` in a thread that has ended when this returns.
template <typename F>
void InAnotherThread(F f) {
  std::thread(f).join();
}

// Runs `f` in a thread that stays.
template <typename F>
void InAThreadThatStays(F f) {
  std::atomic<bool> done{false};
  std::thread([f, &done] {
    f();
    done = true;
    pause();
  }).detach();
  while (!done) std::this_thread::yield();
}

// malloc, as the compiler does not know it.
void* Take(size_t size) { return malloc(size); }

TEST(MisuseTest, ALiveBlockIsFine) {
  const Outcome outcome = InChild([] {
    free(malloc(10));
    free(malloc(1000000));
    free(nullptr);
  });
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.errors, "");
}

// What a program copies without having written it may be what a free block held
// at the same address. (The hardened library hands out another block.)
TEST(MisuseTest, ALiveBlockMayHoldWhatItHeldWhenItWasFree) {
  static char copy[100];
  static char* blocks[20];
  const auto allocate = [] {
    for (char*& block : blocks) block = Bytes(sizeof(copy));
    for (int i = 0; i < 10; ++i) free(blocks[i]);
    memcpy(copy, blocks[9], sizeof(copy));
    char* block = Bytes(sizeof(copy));
    pointer = block;
    if (block != blocks[9]) return false;
    memcpy(block, copy, sizeof(copy));
    return true;
  };
  for (int way = 0; way < 4; ++way) {
    const Outcome outcome = InChild([=] {
      if (!allocate()) return;
      if (way == 0) free(pointer);
      if (way == 1) InAnotherThread([] { free(pointer); });
      if (way == 2) free(realloc(pointer, 3000));
      if (way == 3 && malloc_usable_size(pointer) < sizeof(copy)) _exit(1);
    });
    EXPECT_EQ(outcome.status, 0) << way;
    EXPECT_EQ(outcome.errors, "") << way;
  }
  for (bool by_another : {false, true}) {
    ExpectReport("free", kDoubleFree, [=] {
      allocate();
      free(pointer);
      if (by_another) InAnotherThread([] { free(pointer); });
      free(pointer);
    });
  }
}

// The same, while the thread whose slab it is uses its list all the time.
TEST(MisuseTest, ALiveBlockMayHoldThatWhileItsListChanges) {
  const Outcome outcome = InChild([] {
    static char copies[500][16];
    static char* blocks[500];
    static std::atomic<char*> given{nullptr};
    static std::atomic<bool> is_over{false};
    for (char*& block : blocks) block = Bytes(100);
    for (char* block : blocks) free(block);
    if (Bytes(100) != blocks[499]) return;  // the hardened library
    for (int i = 0; i < 500; ++i) memcpy(copies[i], blocks[i], 16);
    std::thread other([] {
      while (!is_over) free(given.exchange(nullptr));
    });
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (std::chrono::steady_clock::now() < end) {
      char* block = Bytes(100);
      for (int i = 0; i < 500; ++i) {
        if (block == blocks[i]) memcpy(block, copies[i], 16);
      }
      given = block;
      do {
        char* some[8];
        for (char*& one : some) one = Bytes(100);
        for (char* one : some) free(one);
      } while (given != nullptr);
    }
    is_over = true;
    other.join();
  });
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.errors, "");
}

// The same by realloc alone, where slabs and large blocks take turns.
TEST(MisuseTest, ReallocCopiesWhatTheProgramHasNotWritten) {
  const Outcome outcome = InChild([] {
    static char* blocks[64];
    static char* before[200];
    for (char*& block : blocks) block = Bytes(100);
    InAnotherThread([] {
      for (char* block : blocks) free(block);
    });
    for (size_t size : {15000, 24576, 32768}) {
      for (int round = 0; round < 10; ++round) {
        // Another thread writes to both first words of some.
        for (char*& block : before) block = Bytes(size);
        InAnotherThread([] {
          for (char* block : before) free(block);
        });
        for (char*& block : before) block = Bytes(size);
        for (char* block : before) free(block);
        for (char*& block : blocks) block = Bytes(40000);
        for (size_t next : {size_t{200000}, size}) {
          for (char*& block : blocks) {
            block = static_cast<char*>(realloc(block, next));
          }
        }
        for (char* block : blocks) free(block);
      }
    }
  });
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.errors, "");
}

TEST(MisuseTest, FreedTwice) {
  for (size_t size : {1, 16, 64, 500, 5000, 32768}) {
    ExpectReport("free", kDoubleFree, [=] {
      pointer = Take(size);
      free(pointer);
      free(pointer);
    });
    ExpectReport("free", kDoubleFree, [=] {
      pointer = Take(size);
      void* other = Take(size);
      free(pointer);
      free(other);
      free(pointer);
    });
  }
}

// Whatever was allocated and freed in between, as long as the block itself was
// not handed out again.
TEST(MisuseTest, FreedTwiceLater) {
  ExpectReport("free", kDoubleFree, [] {
    static void* blocks[3000];
    for (void*& block : blocks) block = malloc(100);
    pointer = blocks[1000];
    for (int i = 0; i < 3000; i += 2) free(blocks[i]);
    for (int i = 0; i < 100; i += 2) blocks[i] = malloc(100);
    for (int i = 0; i < 100; i += 2) free(blocks[i]);
    free(pointer);
  });
}

TEST(MisuseTest, FreedTwiceAcrossThreads) {
  // The owner first, then another; the other way round; another twice.
  ExpectReport("free", kDoubleFree, [] {
    pointer = Take(100);
    free(pointer);
    InAnotherThread([] { free(pointer); });
  });
  ExpectReport("free", kDoubleFree, [] {
    pointer = Take(100);
    InAnotherThread([] { free(pointer); });
    free(pointer);
  });
  ExpectReport("free", kDoubleFree, [] {
    pointer = Take(100);
    InAnotherThread([] { free(pointer); });
    InAnotherThread([] { free(pointer); });
  });
}

// The first free is still in the other thread's outbox: of the first block, of
// the last, and of one that is listed in between.
TEST(MisuseTest, FreedTwiceOnItsWayHome) {
  for (int which : {0, 1, 5}) {
    for (bool by_owner : {false, true}) {
      ExpectReport("free", kDoubleFree, [=] {
        static void* blocks[6];
        for (void*& block : blocks) block = Take(100);
        pointer = blocks[which];
        InAThreadThatStays([=] {
          Take(200);  // a heap to gather them in
          for (void* block : blocks) free(block);
          if (!by_owner) free(pointer), _exit(0);
        });
        free(pointer);
      });
    }
  }
}

// Its owner has freed it, and another frees it among much else.
TEST(MisuseTest, FreedTwiceAmongOthers) {
  ExpectReport("free", kDoubleFree, [] {
    static void* blocks[100];
    for (void*& block : blocks) block = Take(100);
    free(blocks[50]);
    InAnotherThread([] {
      Take(200);
      for (void* block : blocks) free(block);
    });
  });
}

// The first free made the block one that the other thread keeps for itself.
TEST(MisuseTest, FreedTwiceWhileKept) {
  for (bool by_owner : {false, true}) {
    ExpectReport("free", kDoubleFree, [=] {
      static void* blocks[6];
      for (void*& block : blocks) block = Take(1024);
      pointer = blocks[2];
      InAThreadThatStays([=] {
        for (int i = 0; i < 200; ++i) Take(1024);  // it needs such blocks
        for (void* block : blocks) free(block);
        if (!by_owner) free(pointer), _exit(0);
      });
      free(pointer);
    });
  }
}

TEST(MisuseTest, FreedTwiceInAHandler) {
  ExpectReport("free", kDoubleFree, [] {
    pointer = Take(100);
    free(pointer);
    signal(SIGUSR1, [](int) { free(pointer); });
    raise(SIGUSR1);
  });
}

TEST(MisuseTest, UsedAfterFree) {
  for (size_t size : {100, 1000000}) {
    ExpectReport("realloc", "use after free", [=] {
      pointer = Take(size);
      free(pointer);
      pointer = realloc(pointer, 2000);
    });
    ExpectReport("malloc_usable_size", "use after free", [=] {
      pointer = Take(size);
      free(pointer);
      _exit(malloc_usable_size(pointer) > 0);
    });
  }
}

// Until whatever is free of this size has been handed out, the hardened
// library's quarantine included.
void UseAll() {
  for (int i = 0; i < 3000; ++i) free(Take(100));
  for (int i = 0; i < 3000; ++i) Take(100);
}

// A free block's link is its second word.
TEST(MisuseTest, WrittenToAfterFree) {
  static void* const values[] = {nullptr, &in_data,
                                 reinterpret_cast<void*>(uintptr_t{1}),
                                 reinterpret_cast<void*>(UINTPTR_MAX)};
  for (void* value : values) {
    ExpectReport("(malloc|free)", kWritten, [=] {
      pointer = Take(100);
      free(pointer);
      static_cast<void* volatile*>(pointer)[1] = value;
      UseAll();
    });
  }
  ExpectReport("(malloc|free)", kWritten, [] {
    void* live = Take(100);
    pointer = Take(100);
    free(pointer);
    static_cast<void* volatile*>(pointer)[1] = live;
    UseAll();
  });
}

// The link of a block that is sent home, and what is listed in it.
TEST(MisuseTest, WrittenToOnItsWayHome) {
  for (int word : {1, 2}) {
    ExpectReport("free", kWritten, [=] {
      static void* blocks[6];
      for (void*& block : blocks) block = Take(100);
      InAnotherThread([=] {
        Take(200);
        for (void* block : blocks) free(block);
      });
      static_cast<void* volatile*>(blocks[0])[word] = &in_data;
      malloc_trim(0);
    });
  }
}

// Its first byte is the number of blocks that are listed in it. What lies
// behind these is what the program had there: pointers to live blocks. It may
// be written to before the batch is sent, or on its way.
TEST(MisuseTest, AListThatIsMadeLongerFreesNothing) {
  for (const bool is_sent : {false, true}) {
    ExpectReport("free", kWritten, [=] {
      constexpr size_t kSize = 960;
      static void* live[kSize / sizeof(void*)];
      static void** lists[3];
      for (void*& block : live) block = Take(64);
      for (void**& list : lists) {
        list = static_cast<void**>(Take(kSize));
        memcpy(list, live, kSize);
      }
      const auto write = [] {
        *reinterpret_cast<volatile char*>(lists[0]) = 50;
      };
      InAnotherThread([=] {
        Take(200);
        for (void** list : lists) free(list);
        if (!is_sent) write();
      });
      if (is_sent) write();
      malloc_trim(0);
    });
  }
}

TEST(MisuseTest, FreedAsAnotherSize) {
  using FreeSized = void (*)(void*, size_t);
  const auto free_sized =
      reinterpret_cast<FreeSized>(dlsym(RTLD_DEFAULT, "free_sized"));
  ASSERT_NE(free_sized, nullptr);
  for (size_t size : {0, 1, 20, 64, 100, 129, 1000, 2049, 40000, 1000000}) {
    const Outcome outcome = InChild([=] {
      free_sized(Take(size), size);
      operator delete(operator new(size), size);
      operator delete (operator new (size, std::align_val_t{64}), size,
                       std::align_val_t{64});
      operator delete (operator new (size, std::align_val_t{8192}), size,
                       std::align_val_t{8192});
      const size_t less = size * 3 / 5 + 1;
      free_sized(realloc(Take(size + 1), less), less);
      free_sized(nullptr, size);
    });
    EXPECT_EQ(outcome.status, 0) << size;
    EXPECT_EQ(outcome.errors, "") << size;
    for (size_t wrong : {size * 3 + 100000, size / 4}) {
      if (size < 64 && wrong <= size) continue;
      ExpectReport("free_sized", "freed as [0-9]+ bytes",
                   [=] { free_sized(Take(size), wrong); });
      ExpectReport("operator delete", "freed as [0-9]+ bytes",
                   [=] { operator delete(operator new(size), wrong); });
      ExpectReport("free_sized", "freed as [0-9]+ bytes", [=] {
        InAThreadThatStays([=] { pointer = Take(size); });
        Take(200);
        free_sized(pointer, wrong);
      });
    }
  }
}

// What the dynamic loader allocated before it had a malloc is left alone: here
// it describes the first libraries.
TEST(MisuseTest, TheLoadersOwnMemoryIsLeftAlone) {
  const Outcome outcome = InChild([] {
    int count = 0;
    for (link_map* map = _r_debug.r_map; map != nullptr && count < 4;
         map = map->l_next, ++count) {
      pointer = map;
      free(pointer);
    }
    _exit(count == 4 ? 42 : 0);
  });
  EXPECT_EQ(WEXITSTATUS(outcome.status), 42);
  EXPECT_EQ(outcome.errors, "");
}

TEST(MisuseTest, FreedSpan) {
  ExpectReport("free", kDoubleFree, [] {
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
    ExpectReport("free", kInside, [=] {
      pointer = Bytes(1000000) + offset;
      free(pointer);
    });
  }
}

TEST(MisuseTest, InsideABlock) {
  for (size_t size : {16, 40, 64, 100, 1000, 30000}) {
    for (size_t offset : {size_t{1}, size_t{8}, size / 2, size - 1}) {
      ExpectReport("free", kInside, [=] {
        free(Take(size));
        pointer = static_cast<char*>(Take(size)) + offset;
        free(pointer);
      });
    }
  }
}

TEST(MisuseTest, InsideABlockOfAnotherThread) {
  ExpectReport("free", kInside, [] {
    InAnotherThread([] { pointer = Bytes(1000) + 16; });
    free(pointer);
  });
}

TEST(MisuseTest, ReallocInsideABlock) {
  ExpectReport("realloc", kInside, [] {
    pointer = Bytes(1000) + 16;
    pointer = realloc(pointer, 2000);
  });
}

TEST(MisuseTest, ForeignPointers) {
  ExpectReport("free", kUnknown, [] {
    char on_stack[100];
    pointer = on_stack;
    free(pointer);
  });
  ExpectReport("free", kUnknown, [] {
    pointer = in_data;
    free(pointer);
  });
  ExpectReport("free", kUnknown, [] {
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

// Near real blocks, in the heap and behind it.
TEST(MisuseTest, AddressesThatWereNeverHandedOut) {
  for (ptrdiff_t distance :
       {ptrdiff_t{1} << 20, ptrdiff_t{1} << 24, ptrdiff_t{1} << 28,
        ptrdiff_t{1} << 32, ptrdiff_t{1} << 36}) {
    ExpectReport("free", [=] {
      pointer = Bytes(100) + distance;
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
    free(pointer = &in_data);
  });
  EXPECT_TRUE(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 42);
}

TEST(MisuseTest, AHandlerThatReturnsDoesNotSaveTheProcess) {
  ExpectReport("free", [] {
    signal(SIGABRT, [](int) {});
    free(pointer = &in_data);
  });
}

TEST(MisuseTest, NeitherIgnoringNorBlockingTheSignalDoes) {
  ExpectReport("free", [] {
    signal(SIGABRT, SIG_IGN);
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    free(pointer = &in_data);
  });
}

}  // namespace
