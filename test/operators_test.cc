// Every operator new and delete, in a program that knows nothing of the library
// (preloaded.sh).
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <new>

namespace {

// More than there is, and not known to the compiler.
volatile size_t too_much = size_t{1} << 62;
constexpr std::align_val_t kPage{4096};

// All the ways to ask for memory that throw.
void* (*const kThrowing[])(size_t) = {
    [](size_t size) { return operator new(size); },
    [](size_t size) { return operator new[](size); },
    [](size_t size) { return operator new(size, kPage); },
    [](size_t size) { return operator new[](size, kPage); },
};
void* (*const kNothrow[])(size_t) = {
    [](size_t size) { return operator new(size, std::nothrow); },
    [](size_t size) { return operator new[](size, std::nothrow); },
    [](size_t size) { return operator new(size, kPage, std::nothrow); },
    [](size_t size) { return operator new[](size, kPage, std::nothrow); },
};

int handler_calls;

// With a limit on memory, what the handler frees is just what is missing. Exits
// with 7 if the handler was called once and helped.
[[noreturn]] void RunOutOfMemory() {
  constexpr size_t kBytes = size_t{1} << 30;
  static void* reserve = operator new(kBytes);
  const rlimit limit{kBytes * 3, kBytes * 3};
  setrlimit(RLIMIT_DATA, &limit);
  while (operator new(kBytes, std::nothrow) != nullptr) continue;
  handler_calls = 0;
  std::set_new_handler([] {
    ++handler_calls;
    operator delete(reserve);
    std::set_new_handler(nullptr);
  });
  void* block = operator new(kBytes);
  _exit(block != nullptr && handler_calls == 1 ? 7 : 8);
}

class OperatorsTest : public testing::Test {
 protected:
  void SetUp() override { handler_calls = 0; }
  void TearDown() override { std::set_new_handler(nullptr); }
};

TEST_F(OperatorsTest, NewWithoutMemoryThrowsBadAlloc) {
  for (auto allocate : kThrowing) {
    EXPECT_THROW(allocate(too_much), std::bad_alloc);
    EXPECT_THROW(allocate(SIZE_MAX), std::bad_alloc);
  }
}

TEST_F(OperatorsTest, NothrowNewWithoutMemoryReturnsNull) {
  for (auto allocate : kNothrow) {
    EXPECT_EQ(allocate(too_much), nullptr);
    EXPECT_EQ(allocate(SIZE_MAX), nullptr);
  }
}

TEST_F(OperatorsTest, TheHandlerIsCalledUntilItGivesUp) {
  std::set_new_handler([] {
    if (++handler_calls == 3) std::set_new_handler(nullptr);
  });
  EXPECT_THROW(kThrowing[0](too_much), std::bad_alloc);
  EXPECT_EQ(handler_calls, 3);
}

TEST_F(OperatorsTest, TheHandlerOfEveryFormIsCalled) {
  for (auto* forms : {kThrowing, kNothrow}) {
    for (int i = 0; i < 4; ++i) {
      handler_calls = 0;
      std::set_new_handler([] {
        ++handler_calls;
        std::set_new_handler(nullptr);
      });
      try {
        EXPECT_EQ(forms[i](too_much), nullptr);
        EXPECT_EQ(forms, kNothrow);
      } catch (const std::bad_alloc&) {
        EXPECT_EQ(forms, kThrowing);
      }
      EXPECT_EQ(handler_calls, 1) << i;
    }
  }
}

TEST_F(OperatorsTest, TheHandlerCanHelp) {
  EXPECT_EXIT(RunOutOfMemory(), testing::ExitedWithCode(7), "");
}

TEST_F(OperatorsTest, WhatTheHandlerThrowsIsSeen) {
  std::set_new_handler([] { throw std::bad_alloc(); });
  for (auto allocate : kThrowing) {
    EXPECT_THROW(allocate(too_much), std::bad_alloc);
  }
}

TEST_F(OperatorsTest, NothrowNewReturnsNullEvenIfTheHandlerThrows) {
  std::set_new_handler([] {
    ++handler_calls;
    throw std::bad_alloc();
  });
  for (auto allocate : kNothrow) EXPECT_EQ(allocate(too_much), nullptr);
  EXPECT_EQ(handler_calls, 4);
}

TEST_F(OperatorsTest, ArrayNewOfTooManyElementsThrows) {
  volatile size_t count = SIZE_MAX / 4;
  EXPECT_THROW(new double[count], std::bad_alloc);
  EXPECT_EQ(new (std::nothrow) char[too_much], nullptr);
}

TEST_F(OperatorsTest, BlocksAreAlignedAndDistinct) {
  struct alignas(128) Line {
    char bytes[128];
  };
  for (int i = 0; i < 100; ++i) {
    Line* one = new Line;
    Line* many = new Line[3];
    EXPECT_EQ(reinterpret_cast<uintptr_t>(one) % 128, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(many) % 128, 0u);
    delete one;
    delete[] many;
  }
  void* a = operator new(0);
  void* b = operator new(0);
  EXPECT_NE(a, b);
  operator delete(a);
  operator delete(b);
}

TEST_F(OperatorsTest, EveryDeleteTakesWhatNewAndMallocGave) {
  const size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 10000; ++i) {
    operator delete(operator new(1000));
    operator delete[](operator new[](1000));
    operator delete (operator new(1000), size_t{1000});
    operator delete[](operator new[](1000), size_t{1000});
    operator delete(operator new(1000), std::nothrow);
    operator delete[](operator new[](1000), std::nothrow);
    operator delete(operator new(1000, kPage), kPage);
    operator delete[](operator new[](1000, kPage), kPage);
    operator delete (operator new(1000, kPage), size_t{1000}, kPage);
    operator delete[](operator new[](1000, kPage), size_t{1000}, kPage);
    operator delete(operator new(1000, kPage), kPage, std::nothrow);
    operator delete[](operator new[](1000, kPage), kPage, std::nothrow);
  }
  EXPECT_LE(mallinfo2().uordblks, before + 65536) << "something is not freed";
  operator delete(nullptr);
  operator delete[](nullptr);
}

}  // namespace
