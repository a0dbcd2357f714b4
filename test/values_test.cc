// How values of environment variables are understood.
#include "preload/values.h"

#include <gtest/gtest.h>

namespace aomalloc::preload {
namespace {

constexpr size_t kKi = 1024;

// The size that `value` stands for; 0 for none in [1, SIZE_MAX].
size_t Size(const char* value) {
  size_t bytes;
  return ParseSize(value, 1, SIZE_MAX, &bytes) ? bytes : 0;
}

TEST(ParseSize, UnderstandsDigitsAndUnits) {
  EXPECT_EQ(Size("1"), 1u);
  EXPECT_EQ(Size("4096"), 4096u);
  EXPECT_EQ(Size("007"), 7u);
  EXPECT_EQ(Size("512K"), 512 * kKi);
  EXPECT_EQ(Size("512k"), 512 * kKi);
  EXPECT_EQ(Size("16M"), 16 * kKi * kKi);
  EXPECT_EQ(Size("3g"), 3 * kKi * kKi * kKi);
  EXPECT_EQ(Size("2T"), 2 * kKi * kKi * kKi * kKi);
  EXPECT_EQ(Size("18446744073709551615"), SIZE_MAX);
  EXPECT_EQ(Size("16777215T"), SIZE_MAX - (kKi * kKi * kKi * kKi - 1));
}

TEST(ParseSize, RefusesAnythingElse) {
  for (const char* value :
       {"", "K", "-1", "+1", " 1", "1 ", "1KB", "1KiB", "1.5M", "0x10", "1P",
        "M1", "5M5", "18446744073709551616", "99999999999999999999",
        "16777216T", "1kk", "\xC3\xBC"}) {
    EXPECT_EQ(Size(value), 0u) << value;
  }
}

TEST(ParseSize, HasBounds) {
  size_t bytes;
  EXPECT_TRUE(ParseSize("4K", 4096, 8192, &bytes));
  EXPECT_TRUE(ParseSize("8K", 4096, 8192, &bytes));
  EXPECT_FALSE(ParseSize("4095", 4096, 8192, &bytes));
  EXPECT_FALSE(ParseSize("8193", 4096, 8192, &bytes));
  EXPECT_FALSE(ParseSize("0", 1, 8192, &bytes));
}

TEST(ParseBool, UnderstandsEightWords) {
  bool result;
  for (const char* value : {"1", "true", "yes", "on", "TRUE", "Yes", "oN"}) {
    EXPECT_TRUE(ParseBool(value, &result)) << value;
    EXPECT_TRUE(result) << value;
  }
  for (const char* value : {"0", "false", "no", "off", "FALSE", "No", "oFF"}) {
    EXPECT_TRUE(ParseBool(value, &result)) << value;
    EXPECT_FALSE(result) << value;
  }
  for (const char* value : {"", "2", "10", "tru", "truee", "o", "of", "@"}) {
    EXPECT_FALSE(ParseBool(value, &result)) << value;
  }
}

}  // namespace
}  // namespace aomalloc::preload
