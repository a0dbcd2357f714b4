// What is estimated to be live, by stack, and how the calls are named.
#include "core/profile/live_stacks.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <string>

#include "core/allocator.h"
#include "core/profile/place.h"
#include "test/child.h"
#include "test/deep.h"

namespace aomalloc {
namespace {

using profile::Counts;
using profile::Live;
using profile::LiveOf;
using profile::LiveStacks;
using profile::Places;

TEST(LiveTest, IsWhatTheToolsEstimate) {
  for (const double mean : {1.0, 1024.0, 524288.0, 1e14}) {
    for (const double size : {16.0, 1024.0, 524288.0, 1e8}) {
      for (const size_t samples : {1, 7, 1000}) {
        const auto sampled = samples * static_cast<size_t>(size);
        const Counts counts = {samples + 2, sampled + 50, 2, 50};
        const Live live = LiveOf(counts, static_cast<size_t>(mean));
        const double share = -std::expm1(-size / mean);
        const double bytes = static_cast<double>(sampled) / share;
        const double blocks = static_cast<double>(samples) / share;
        EXPECT_NEAR(static_cast<double>(live.bytes), bytes, bytes * 1e-6 + 1);
        EXPECT_NEAR(static_cast<double>(live.blocks), blocks,
                    blocks * 1e-6 + 1);
        EXPECT_EQ(live.samples, samples);
      }
    }
  }
}

TEST(LiveTest, WhatWasFreedIsNot) {
  for (const Counts& counts :
       {Counts{}, Counts{3, 300, 3, 300}, Counts{3, 300, 4, 400}}) {
    const Live live = LiveOf(counts, 1024);
    EXPECT_EQ(live.bytes + live.blocks + live.samples, 0u);
  }
}

TEST(LiveStacksTest, TheLargestComeFirst) {
  InChild([] {
    memory::EnableMmap();
    ASSERT_EQ(profile::Start(1, nullptr), nullptr);
    EXPECT_EQ(profile::FindLiveStacks().count, 0u);
    // Not in the order of their sizes.
    constexpr int kStacks = 13;
    for (int i = 0; i < kStacks; ++i) {
      AllocateInDepth(i, static_cast<size_t>(1 + i * 5 % kStacks) << 20);
    }
    const LiveStacks found = profile::FindLiveStacks();
    EXPECT_EQ(found.stacks, static_cast<size_t>(kStacks));
    ASSERT_EQ(found.count, LiveStacks::kMost);
    EXPECT_EQ(found.total.bytes, (size_t{1 + kStacks} * kStacks / 2) << 20);
    EXPECT_EQ(found.total.blocks, static_cast<size_t>(kStacks));
    size_t expected = size_t{kStacks} << 20;
    for (const profile::LiveStack& stack : found.largest) {
      EXPECT_EQ(stack.live.bytes, expected);
      EXPECT_EQ(stack.live.samples, 1u);
      EXPECT_GT(stack.depth, 3u);
      expected -= size_t{1} << 20;
    }
  });
}

TEST(PlacesTest, ProgramsAndLibraries) {
  Places places;
  Dl_info info;
  for (int i = 0; i < 2; ++i) {
    const auto ours = reinterpret_cast<uintptr_t>(&AllocateInDepth);
    EXPECT_STREQ(places.NameOf(ours), "live_stacks_test");
    ASSERT_NE(dladdr(reinterpret_cast<void*>(ours), &info), 0);
    EXPECT_EQ(places.OffsetOf(ours),
              ours - reinterpret_cast<uintptr_t>(info.dli_fbase));
    const auto theirs = reinterpret_cast<uintptr_t>(dlsym(RTLD_NEXT, "getpid"));
    EXPECT_EQ(std::string(places.NameOf(theirs)).rfind("libc.", 0), 0u);
    EXPECT_EQ(std::string(places.NameOf(theirs + 1)).rfind("libc.", 0), 0u);
    EXPECT_STREQ(places.NameOf(16), "[unknown]");
    EXPECT_EQ(places.OffsetOf(16), 16u);
  }
}

TEST(PlacesTest, NamesAreFitForAReport) {
  Dl_info info;
  ASSERT_NE(dladdr(dlsym(RTLD_NEXT, "cos"), &info), 0) << "libm";
  const std::string folder =
      testing::TempDir() + std::string(200, 'f') + "XXXXXX";
  std::string made = folder;
  ASSERT_NE(mkdtemp(&made[0]), nullptr);
  const std::string path = made + "/a\"b\\c\n\xe4" + std::string(100, 'd');
  std::ofstream(path) << std::ifstream(info.dli_fname).rdbuf();
  void* library = dlopen(path.c_str(), RTLD_NOW);
  ASSERT_NE(library, nullptr) << dlerror();
  const auto address = reinterpret_cast<uintptr_t>(dlsym(library, "cos"));
  Places places;
  EXPECT_EQ(places.NameOf(address), "a?b?c??" + std::string(36, 'd'));
  dlclose(library);
  // What is remembered is remembered; who asks anew is told that it is gone.
  EXPECT_STREQ(Places().NameOf(address), "[unknown]");
}

}  // namespace
}  // namespace aomalloc
