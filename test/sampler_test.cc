// When samples are due, and the rations that lead there.
#include "core/heap/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <set>
#include <vector>

#include "core/arena/memory.h"
#include "core/heap/slab.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

constexpr size_t kMean = size_t{512} << 10;
const SizeClass k64 = ClassOf(64);
const SizeClass k32K = ClassOf(32768);

TEST(ExponentialTest, IsMinusTheLogarithm) {
  for (const uint32_t x :
       {0u, 1u, 2u, 3u, 1000u, 65535u, 65536u, 0x7fffffffu, 0x80000000u,
        0xc0000000u, 0xfffffffeu, 0xffffffffu}) {
    const double exact = -std::log((x + 1.0) / 4294967296.0);
    EXPECT_NEAR(static_cast<double>(sampler::Exponential(x, kMean)) / kMean,
                exact, 0.0001)
        << x;
  }
  EXPECT_EQ(sampler::Exponential(0xffffffff, kMean), 0u);
  // No mean that may be asked for is too large.
  EXPECT_NEAR(static_cast<double>(sampler::Exponential(0, SIZE_MAX >> 16)),
              std::ldexp(22.1807, 48), std::ldexp(0.001, 48));
}

class SamplerTest : public testing::Test {
 protected:
  void SetUp() override { StoreRelaxed(&profile::mean_bytes, kMean); }
  void TearDown() override { StoreRelaxed(&profile::mean_bytes, 0); }

  // A list of free blocks.
  FreeList List(size_t count) {
    blocks_.resize(count);
    for (size_t i = 0; i < count; ++i) {
      blocks_[i].LinkTo(i + 1 < count ? &blocks_[i + 1] : nullptr);
    }
    return {blocks_.data(), 0};
  }
  // Takes what is left of a ration.
  size_t Rest(SizeClass c) {
    size_t count = 0;
    while (slab::Pop(sampler_->ration(c)) != nullptr) ++count;
    return count;
  }

  std::vector<Block> blocks_;
  const std::unique_ptr<Sampler> sampler_ = [] {
    StoreRelaxed(&profile::mean_bytes, kMean);
    return std::make_unique<Sampler>(1);
  }();
};

TEST_F(SamplerTest, RationsAreOfSomeBlocksOfTheList) {
  FreeList list = List(1000);
  ASSERT_EQ(sampler_->Ration(k64, &list, 1000), &blocks_[0]);
  EXPECT_EQ(list.used, 128);
  EXPECT_EQ(list.free, &blocks_[128]);
  EXPECT_EQ(sampler_->Bytes(), 127u * 64);
  EXPECT_EQ(Rest(k64), 127u);
  EXPECT_EQ(sampler_->Bytes(), 0u);
  // Not many bytes, but some blocks, of large ones.
  FreeList large = List(1000);
  sampler_->Ration(k32K, &large, 1000);
  EXPECT_LE(large.used, Sampler::kRationBlocks);
  EXPECT_EQ(static_cast<size_t>(large.used), Rest(k32K) + 1);
}

TEST_F(SamplerTest, BlocksOfARationAreFree) {
  memory::EnableMmap();
  for (const bool whole : {false, true}) {
    const auto grant = memory::Take({1, 1, 1});
    ASSERT_NE(grant.run, nullptr);
    auto* slab = grant.run;
    slab::Init(slab, memory::BytesOf(slab), k64);
    slab->kind = RunKind::kSlab;
    while (slab::Carve(slab)) {
    }
    while (whole && slab::CountFree(slab) > 20) slab::Pop(&slab->list);
    const int32_t count = whole ? 20 : slab->carved;
    Block* block = sampler_->Ration(k64, &slab->list, count);
    EXPECT_FALSE(slab::IsFree(slab, block));
    EXPECT_EQ(slab->list.free == nullptr, whole);
    while ((block = sampler_->ration(k64)->free) != nullptr) {
      ASSERT_TRUE(slab::IsFree(slab, block));
      ASSERT_EQ(slab::Pop(sampler_->ration(k64)), block);
      ASSERT_FALSE(slab::IsFree(slab, block));
    }
    slab->kind = RunKind::kFree;
    memory::Return(slab, /*dirty=*/true);
  }
}

TEST_F(SamplerTest, NoRationIsLongerThanTheWayToTheSample) {
  StoreRelaxed(&profile::mean_bytes, 2000);
  for (uint64_t seed = 1; seed < 50; ++seed) {
    const auto sampler = std::make_unique<Sampler>(seed);
    size_t given = 0;
    while (!sampler->IsDue(k64)) {
      FreeList list = List(200);
      ASSERT_NE(sampler->Ration(k64, &list, 200), nullptr);
      ASSERT_GT(list.used, 0);
      given += static_cast<size_t>(list.used);
      while (slab::Pop(sampler->ration(k64)) != nullptr) {
      }
    }
    EXPECT_LT(given, 23u * 2000 / 64);
  }
}

TEST_F(SamplerTest, AShortListIsTakenWhole) {
  FreeList list = List(100);
  // It may have less than is known of it.
  ASSERT_EQ(sampler_->Ration(k64, &list, 101), &blocks_[0]);
  EXPECT_EQ(list.free, nullptr);
  EXPECT_EQ(list.used, 101);
  EXPECT_EQ(Rest(k64), 99u);
  EXPECT_EQ(sampler_->Ration(k64, &list, 1), nullptr);
  FreeList shorter = List(100);
  ASSERT_EQ(sampler_->Ration(k64, &shorter, 1000), &blocks_[0]);
  EXPECT_EQ(shorter.free, nullptr);
}

TEST_F(SamplerTest, WhatIsTakenBackWasNotGiven) {
  // Blocks before the sample, with and without.
  const auto blocks_before = [this](bool take_back) {
    const auto sampler = std::make_unique<Sampler>(5);
    size_t count = 0;
    while (!sampler->IsDue(k64)) {
      FreeList list = List(100);
      sampler->Ration(k64, &list, 100);
      ++count;
      if (take_back) {
        while (sampler->TakeBack(k64) != nullptr) {
        }
      } else {
        while (slab::Pop(sampler->ration(k64)) != nullptr) ++count;
      }
    }
    return count;
  };
  const size_t blocks = blocks_before(false);
  EXPECT_GT(blocks, 100u);
  EXPECT_EQ(blocks_before(true), blocks);
}

TEST_F(SamplerTest, ABlockIsGivenThoughASampleIsDue) {
  StoreRelaxed(&profile::mean_bytes, 1);
  const auto sampler = std::make_unique<Sampler>(1);
  EXPECT_TRUE(sampler->IsDue(k64));
  EXPECT_TRUE(sampler->IsDue(k64));
  FreeList list = List(10);
  EXPECT_EQ(sampler->Ration(k64, &list, 10), &blocks_[0]);
  EXPECT_EQ(list.used, 1);
  EXPECT_EQ(sampler->ration(k64)->free, nullptr);
}

TEST_F(SamplerTest, DistancesAreLimited) {
  StoreRelaxed(&profile::mean_bytes, SIZE_MAX >> 16);
  const auto sampler = std::make_unique<Sampler>(1);
  EXPECT_FALSE(sampler->IsDue(0));
  EXPECT_FALSE(sampler->IsSpanDue(size_t{1} << 30));
}

// Each byte is the occasion with the same chance, whatever the size: so many of
// a gigabyte.
TEST_F(SamplerTest, SamplesAreProportionate) {
  constexpr size_t kBytes = size_t{1} << 30;
  for (const size_t size : {size_t{64}, size_t{2048}, kMaxSmall}) {
    const SizeClass c = ClassOf(size);
    FreeList list;
    const size_t blocks = kBytes / size;
    size_t samples = 0;
    for (size_t i = 0; i < blocks; ++i) {
      if (slab::Pop(sampler_->ration(c)) != nullptr) continue;
      if (sampler_->IsDue(c)) {
        ++samples;
        continue;
      }
      list = List(10);
      sampler_->Ration(c, &list, 10);
    }
    const double chance =
        1 - std::exp(-1.0 * static_cast<double>(size) / kMean);
    const double expected = static_cast<double>(blocks) * chance;
    EXPECT_NEAR(static_cast<double>(samples), expected, 4 * std::sqrt(expected))
        << size;
  }
  for (const size_t size : {size_t{40000}, size_t{1} << 20}) {
    const size_t blocks = 8 * kBytes / size;
    size_t samples = 0;
    for (size_t i = 0; i < blocks; ++i) {
      samples += sampler_->IsSpanDue(size) ? 1 : 0;
    }
    const double chance =
        1 - std::exp(-1.0 * static_cast<double>(size) / kMean);
    const double expected = static_cast<double>(blocks) * chance;
    EXPECT_NEAR(static_cast<double>(samples), expected, 4 * std::sqrt(expected))
        << size;
  }
}

}  // namespace
}  // namespace aomalloc
