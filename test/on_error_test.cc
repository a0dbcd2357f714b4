// AO_MALLOC_ON_ERROR: what follows when misuse is noticed. To be run with
// LD_PRELOAD (preloaded.sh).
#include <errno.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <regex>
#include <set>

#include "test/outcome.h"

namespace {

// The compiler must not know what is wrong.
void* volatile pointer;
char in_data[100];

// malloc, as the compiler does not know it.
void* Take(size_t size) { return malloc(size); }

// With AO_MALLOC_ON_ERROR=warn or ignore the program goes on, and so does the
// heap: this program does all of it and must find its memory unharmed.
int MisuseAndCheck() {
  static void* blocks[100];
  for (void*& block : blocks) block = Take(100);
  for (int i = 0; i < 100; i += 2) free(blocks[i]);
  for (int i = 0; i < 100; i += 4) free(blocks[i]);
  for (int i = 1; i < 100; i += 2) free(static_cast<char*>(blocks[i]) + 16);
  pointer = realloc(blocks[2], 1000);
  if (pointer != nullptr || errno != EINVAL) return 1;
  if (malloc_usable_size(blocks[2]) != 0) return 2;
  free(in_data);
  static_cast<void* volatile*>(blocks[4])[1] = blocks[1];
  for (int i = 1; i < 100; i += 2) memset(blocks[i], i, 100);
  std::set<void*> taken;
  for (int i = 0; i < 1000; ++i) {
    void* block = Take(100);
    if (!taken.insert(block).second) return 3;
    memset(block, 0xee, 100);
  }
  for (int i = 1; i < 100; i += 2) {
    const auto* bytes = static_cast<const char*>(blocks[i]);
    if (bytes[0] != i || bytes[99] != i) return 4;
    free(blocks[i]);
  }
  for (void* block : taken) free(block);
  for (int i = 0; i < 3000; ++i) free(Take(100));
  return 42;
}

Outcome RunAgain(const char* on_error) {
  return InChild([=] {
    setenv("AO_MALLOC_ON_ERROR", on_error, 1);
    setenv("MISUSE_AND_CHECK", "1", 1);
    execl("/proc/self/exe", "on_error_test", nullptr);
  });
}

TEST(OnErrorTest, Warn) {
  const Outcome outcome = RunAgain("warn");
  EXPECT_EQ(WEXITSTATUS(outcome.status), 42) << outcome.status;
  const std::regex lines(
      "(aomalloc: free\\(0x[0-9a-f]+\\): double free [^\n]+\n){25}"
      "(aomalloc: free\\(0x[0-9a-f]+\\): inside a block [^\n]+\n){50}"
      "aomalloc: realloc\\([^\n]+\naomalloc: malloc_usable_size\\([^\n]+\n"
      "aomalloc: free\\([^\n]+\naomalloc: (malloc|free)\\([^\n]+\n");
  EXPECT_TRUE(std::regex_match(outcome.errors, lines)) << outcome.errors;
}

TEST(OnErrorTest, Ignore) {
  const Outcome outcome = RunAgain("ignore");
  EXPECT_EQ(WEXITSTATUS(outcome.status), 42) << outcome.status;
  EXPECT_EQ(outcome.errors, "");
}

TEST(OnErrorTest, Abort) {
  const Outcome outcome = RunAgain("abort");
  EXPECT_EQ(WTERMSIG(outcome.status), SIGABRT);
}

TEST(OnErrorTest, AnythingElseIsTold) {
  const Outcome outcome = RunAgain("never");
  EXPECT_EQ(WTERMSIG(outcome.status), SIGABRT);
  EXPECT_EQ(outcome.errors.find("aomalloc: AO_MALLOC_ON_ERROR=never is not one "
                                "of abort, warn, ignore; ignored\n"),
            0u)
      << outcome.errors;
}

}  // namespace

int main(int argc, char** argv) {
  if (getenv("MISUSE_AND_CHECK") != nullptr) return MisuseAndCheck();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
