// Messages, and the reports of misuse that end the process.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <string>

#include "core/allocator.h"
#include "core/base/line.h"
#include "core/heap/misuse.h"

namespace aomalloc {
namespace {

template <typename F>
std::string Written(F f) {
  testing::internal::CaptureStderr();
  f();
  return testing::internal::GetCapturedStderr();
}

TEST(LineTest, IsPutTogetherFromTextAndNumbers) {
  EXPECT_EQ(Written([] {
              Line()
                  .Text("a ")
                  .Hex(0)
                  .Text(" ")
                  .Hex(UINTPTR_MAX)
                  .Text(" ")
                  .Decimal(0)
                  .Text(" ")
                  .Decimal(1200)
                  .Text(" ")
                  .Decimal(SIZE_MAX)
                  .Write();
            }),
            "aomalloc: a 0x0 0xffffffffffffffff 0 1200 18446744073709551615\n");
}

TEST(LineTest, IsCutOffWhereItIsTooLong) {
  const std::string text(1000, 'x');
  const std::string line = Written([&] { Line().Text(text.c_str()).Write(); });
  EXPECT_EQ(line, "aomalloc: " + text.substr(0, line.size() - 11) + "\n");
  EXPECT_EQ(line.size(), 400u);
}

// Ends by exit, so that the lines that ran are counted (scripts/coverage).
void UseInvalid(const void* pointer) {
  signal(SIGABRT, [](int) { exit(3); });
  UsableSize(pointer, "call");
}

class MisuseReportTest : public testing::Test {
 protected:
  void SetUp() override { memory::EnableMmap(); }
  static void Expect(const void* pointer, const std::string& what) {
    EXPECT_EXIT(UseInvalid(pointer), testing::ExitedWithCode(3),
                "^aomalloc: call\\(0x[0-9a-f]+\\): " + what);
  }
};

TEST_F(MisuseReportTest, InsideABlock) {
  for (size_t size : {100, 100000}) {
    auto* block = static_cast<char*>(Allocate(size));
    Expect(block + 16, "inside a block");
    Free(block, "test");
  }
}

TEST_F(MisuseReportTest, FreedAlready) {
  void* block = Allocate(100000);
  Free(block, "test");
  Expect(block, "use after free \\(free memory of the heap\\)");
}

TEST_F(MisuseReportTest, WhoWantsToKnowIsToldBeforeTheEnd) {
  char foreign = 0;
  const auto misuse = [&] {
    CallBeforeAbort([] { Line().Text("told").Write(); });
    UseInvalid(&foreign);
  };
  EXPECT_EXIT(misuse(), testing::ExitedWithCode(3),
              "not a block .*\naomalloc: told\n$");
}

TEST_F(MisuseReportTest, WhatNobodyCanHelp) {
  const auto fatal = [] {
    signal(SIGABRT, [](int) { exit(3); });
    Fatal("call", nullptr, "out of luck");
  };
  EXPECT_EXIT(fatal(), testing::ExitedWithCode(3),
              "^aomalloc: call\\(0x0\\): out of luck\n$");
}

TEST_F(MisuseReportTest, OfAnother) {
  char foreign = 0;
  Expect(&foreign, "not a block of this allocator");
}

}  // namespace
}  // namespace aomalloc
