// The report as text and as JSON; programs/statistics_test.sh has what it says
// of whole programs.
#include "core/report/heap_report.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <sstream>
#include <string>

#include "core/allocator.h"
#include "core/base/os.h"
#include "core/profile/profile.h"
#include "core/report/statistics.h"
#include "core/thread/thread.h"
#include "test/child.h"
#include "test/deep.h"

namespace aomalloc {
namespace {

// What `write` writes, by way of a file.
template <typename Write>
std::string Written(Write write) {
  const std::string name = testing::TempDir() + "/heap_report";
  unlink(name.c_str());
  const int descriptor = os::OpenToAppend(name.c_str());
  EXPECT_GE(descriptor, 0);
  {
    Output out(descriptor);
    write(&out);
  }
  std::string text(1 << 20, '\0');
  text.resize(static_cast<size_t>(
      pread(open(name.c_str(), O_RDONLY), &text[0], text.size(), 0)));
  os::Close(descriptor);
  EXPECT_EQ(os::FileOf(descriptor).inode, 0u) << "closed";
  return text;
}

TEST(OutputTest, NumbersStandInColumns) {
  EXPECT_EQ(Written([](Output* out) {
              out->Left("ab", 4).Right("cd", 5).Text("|").Number(0, 2);
              out->Number(999, 5).Number(1000, 6).Number(1234567, 1);
            }),
            "ab     cd| 0  999 1,0001,234,567");
}

TEST(OutputTest, BytesAreForPeople) {
  EXPECT_EQ(Written([](Output* out) {
              for (size_t bytes :
                   {size_t{0}, size_t{1023}, size_t{1024}, size_t{1} << 20,
                    size_t{1300} << 20, size_t{5} << 40, size_t{2000} << 40}) {
                out->Bytes(bytes, 11).Text("|");
              }
            }),
            "      0 B  |   1023 B  |    1.0 KiB|    1.0 MiB|    1.2 GiB|"
            "    5.0 TiB| 2000.0 TiB|");
}

TEST(OutputTest, SharesArePercent) {
  EXPECT_EQ(Written([](Output* out) {
              out->Percent(1, 3, 6).Percent(5, 5, 8).Percent(0, 0, 3);
            }),
            "33.3 % 100.0 %  -");
}

TEST(OutputTest, WhatIsLongerThanTheBufferIsWhole) {
  const std::string text(1000, 'x');
  EXPECT_EQ(Written([&](Output* out) { out->Text(text.c_str()); }), text);
}

TEST(DescriptorTest, ASecondOneLeadsToTheSameFile) {
  const int second = os::Duplicate(2);
  EXPECT_GE(second, 200);
  EXPECT_TRUE(os::FileOf(second) == os::FileOf(2));
  os::Close(second);
}

// First, as mmap cannot be disabled again.
TEST(StaticHeapReportTest, InTheStaticHeapThereIsOneToo) {
  InChild([] {
    // More heaps than there are at first.
    static ClaimFrame frames[80];
    for (const ClaimFrame& frame : frames) thread::ClaimHeap(frame);
    Allocate(100000);
    const std::string json =
        Written([](Output* out) { heap_report::WriteJson(out, "test"); });
    for (const char* part : {"\"mmap\": false", "\"resident\": null",
                             "[\"span\", 25]", "[\"own\", 8]"}) {
      EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
    }
    const std::string text =
        Written([](Output* out) { heap_report::WriteText(out, "test"); });
    EXPECT_NE(text.find(" (static), "), std::string::npos);
  });
}

class HeapReportTest : public testing::Test {
 protected:
  void SetUp() override { memory::EnableMmap(); }
};

TEST_F(HeapReportTest, TextBeginsWithTheProgramsName) {
  InChild([] {
    const std::string begin =
        "aomalloc: the heap of process " + std::to_string(getpid());
    const auto text = [](const char* path) {
      heap_report::SetProgram(path);
      return Written(
          [](Output* out) { heap_report::WriteText(out, "in a test"); });
    };
    EXPECT_EQ(text("/usr/bin/prog").rfind(begin + " (prog, mmap), in a ", 0),
              0u);
    EXPECT_EQ(text("a\033b\377").rfind(begin + " (a?b?, mmap), in a ", 0), 0u);
    EXPECT_EQ(text("a-name-that-is-long")
                  .rfind(begin + " (a-name-that-is-, mmap), in a ", 0),
              0u);
  });
}

TEST_F(HeapReportTest, TextFits80Columns) {
  InChild([] {
    statistics::Watch();
    for (int i = 0; i < 1000; ++i) Allocate(100000);
    for (int i = 0; i < 1000; ++i) Allocate(1000);
    const std::string text =
        Written([](Output* out) { heap_report::WriteText(out, "in a test"); });
    EXPECT_EQ(text.rfind("aomalloc: the heap of process " +
                             std::to_string(getpid()) + " (mmap), in a test\n",
                         0),
              0u);
    std::istringstream lines(text);
    std::string line;
    bool has_class = false;
    while (std::getline(lines, line)) {
      EXPECT_LE(line.size(), 80u) << line;
      has_class |= line.rfind("  1,024 ", 0) == 0;
    }
    EXPECT_TRUE(has_class) << text;
    EXPECT_NE(text.find(" or more\n"), std::string::npos);
    EXPECT_NE(text.find("  resident "), std::string::npos);
  });
}

TEST_F(HeapReportTest, WithAProfileThereAreStacks) {
  InChild([] {
    ASSERT_EQ(profile::Start(1, nullptr), nullptr);
    for (int i = 0; i < 12; ++i) {
      AllocateInDepth(i, static_cast<size_t>(i + 1) << 20);
    }
    const std::string text =
        Written([](Output* out) { heap_report::WriteText(out, "test"); });
    std::istringstream lines(text.substr(text.find("\nlive by stack")));
    std::string line;
    std::string last;
    while (std::getline(lines, line)) {
      EXPECT_LE(line.size(), 80u) << line;
      last = line;
    }
    EXPECT_EQ(last, "      3.0 MiB   3.8 %  in 2 stacks more");
    for (const char* part :
         {"\n     12.0 MiB  15.3 %            1            1\n"
          "               heap_report_test+0x",
          " calls more\n     11.0 MiB  14.1 % "}) {
      EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
    }
    const std::string json =
        Written([](Output* out) { heap_report::WriteJson(out, "test"); });
    for (const char* part :
         {"\"profile\": {\"live\": 81788928, \"blocks\": 12, \"samples\": 12, "
          "\"stacks\": 12, \"missed\": 0}",
          "\"stacks\": [{\"bytes\": 12582912, \"blocks\": 1, \"samples\": 1, "
          "\"calls\": [\"heap_report_test+0x"}) {
      EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
    }
  });
}

TEST_F(HeapReportTest, JsonIsOneLineThatAddsUp) {
  void* blocks[2000];
  for (void*& block : blocks) block = Allocate(20000);
  for (void*& block : blocks) Free(block, "test");
  // That was so much that no slab and no run is left.
  void* block = Allocate(100);
  Free(Allocate(60000), "test");
  const std::string json =
      Written([](Output* out) { heap_report::WriteJson(out, "test"); });
  Free(block, "test");
  EXPECT_EQ(json.find('\n'), json.size() - 1);
  for (const char* part :
       {"{\"process\": ",
        "\"occasion\": \"test\", \"mmap\": true, \"memory\": {",
        "\"resident\": ", "\"waste\": {\"away\": 0", "\"counts\": {\"heaps\": ",
        "\"classes\": [{\"size\": ", "\"arenas\": [{\"base\": \"0x",
        "[\"slab\", 1, ", "[\"kept\", ", "[\"dirty\", ", "[\"clean\", "}) {
    EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
  }
  int depth = 0;
  for (char c : json) {
    depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
  }
  EXPECT_EQ(depth, 0);
}

}  // namespace
}  // namespace aomalloc
