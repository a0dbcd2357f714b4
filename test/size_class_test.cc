// Every request there is, against the definition of a size class.
#include "core/base/size_class.h"

#include <gtest/gtest.h>

namespace aomalloc {
namespace {

TEST(SizeClassTest, BlocksAreMultiplesOfTheGranuleAndGrow) {
  size_t previous = 0;
  for (int c = 0; c < kNumClasses; ++c) {
    EXPECT_EQ(ClassSize(c) % kGranule, 0u) << c;
    EXPECT_GT(ClassSize(c), previous) << c;
    previous = ClassSize(c);
  }
  EXPECT_EQ(ClassSize(0), kGranule);
  EXPECT_EQ(previous, kMaxSmall);
}

TEST(SizeClassTest, EveryRequestGetsTheSmallestBlockThatHoldsIt) {
  for (size_t size = 0; size <= kMaxSmall; ++size) {
    const int c = ClassOf(size);
    ASSERT_LT(c, kNumClasses) << size;
    ASSERT_GE(ClassSize(c), size);
    ASSERT_TRUE(c == 0 || ClassSize(c - 1) < size) << size;
  }
}

TEST(SizeClassTest, LittleIsWasted) {
  for (size_t size = 1; size <= kMaxSmall; ++size) {
    const size_t waste = ClassSize(ClassOf(size)) - size;
    if (size <= 128) {
      ASSERT_LT(waste, kGranule) << size;
    } else {
      ASSERT_LT(waste * 8, size) << size;
    }
  }
}

TEST(SizeClassTest, EveryBlockSizeFitsTheDescriptorsField) {
  for (int c = 0; c < kNumClasses; ++c) {
    EXPECT_LE(ClassSize(c) / kGranule, UINT16_MAX);
    EXPECT_EQ(static_cast<SizeClass>(c), c);
  }
}

class AlignedClassTest : public testing::TestWithParam<size_t> {};

TEST_P(AlignedClassTest, IsTheSmallestClassOfWhichEveryBlockIsAligned) {
  const size_t alignment = GetParam();
  for (size_t size = 0; size <= kMaxSmall; ++size) {
    int expected = 0;
    while (expected < kNumClasses && (ClassSize(expected) < size ||
                                      ClassSize(expected) % alignment != 0)) {
      ++expected;
    }
    if (expected == kNumClasses) break;
    ASSERT_EQ(ClassOf(AlignedSize(size, alignment)), expected) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(AllAlignments, AlignedClassTest,
                         testing::Values(1, 2, 4, 8, 16, 32, 64, 128, 256, 512,
                                         1024, 2048, 4096, 8192, 16384, 32768,
                                         65536));

}  // namespace
}  // namespace aomalloc
