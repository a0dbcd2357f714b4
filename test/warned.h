// Tests that go on after misuse, and look at what was said of it.
#ifndef AOMALLOC_TEST_WARNED_H_
#define AOMALLOC_TEST_WARNED_H_

#include <gtest/gtest.h>

#include <regex>
#include <string>

#include "core/arena/memory.h"
#include "core/heap/misuse.h"

namespace aomalloc {

class WarnedTest : public testing::Test {
 protected:
  void SetUp() override {
    memory::EnableMmap();
    SetOnMisuse(OnMisuse::kWarn);
  }
  void TearDown() override { SetOnMisuse(OnMisuse::kAbort); }

  // What `f` writes to stderr, with addresses left out.
  template <typename F>
  static std::string Said(F f) {
    testing::internal::CaptureStderr();
    f();
    return std::regex_replace(testing::internal::GetCapturedStderr(),
                              std::regex("0x[0-9a-f]+"), "0x");
  }
  static void Contains(const std::string& said, const char* text) {
    EXPECT_NE(said.find(text), std::string::npos) << said;
  }
};

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_WARNED_H_
