// What is known of other threads and of memory when the system does not answer.
#include "core/base/os.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "test/child.h"
#include "test/refuse.h"
#include "test/testing.h"
#include "test/vanish.h"

namespace aomalloc {
namespace {

size_t IdOfAnEndedThread() {
  size_t id = 0;
  std::thread([&] { id = os::ThreadId(); }).join();
  // It is still there until the kernel has cleared its last word.
  EXPECT_TRUE(Eventually([&] { return os::HasEnded(os::ProcessId(), id); }));
  return id;
}

void* Hole() {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* hole =
      mmap(nullptr, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_EQ(munmap(hole, page), 0);
  return hole;
}

TEST(OsTest, LinksAreReadAsFarAsThereIsRoom) {
  const std::string link = testing::TempDir() + "link";
  unlink(link.c_str());
  ASSERT_EQ(symlink("target", link.c_str()), 0);
  char text[8] = "-------";
  EXPECT_EQ(os::ReadLink(link.c_str(), text, sizeof text), 6u);
  EXPECT_STREQ(text, "target-");
  EXPECT_EQ(os::ReadLink(link.c_str(), text, 3), 3u);
  EXPECT_EQ(os::ReadLink("/nonexistent", text, sizeof text), 0u);
}

TEST(OsTest, WhatIsInMemoryIsCompared) {
  const unsigned word = 7;
  EXPECT_TRUE(os::MayLook());
  unsigned mark = 0;
  EXPECT_FALSE(os::IsMarked(&mark));
  os::Mark(&mark);
  EXPECT_TRUE(os::IsMarked(&mark));
  EXPECT_FALSE(os::IsMarked(Hole()));
  EXPECT_FALSE(os::Differs(&word, 7));
  EXPECT_TRUE(os::Differs(&word, 8));
  EXPECT_TRUE(os::IsReadable(&word));
  EXPECT_TRUE(os::Differs(Hole(), 7));
  EXPECT_FALSE(os::IsReadable(Hole()));
}

TEST(OsTest, AnErrorOfAFilterSaysNothingOfMemory) {
  for (const int error : kRefusals) {
    InChild([error] {
      const unsigned word = 7;
      unsigned mark;
      os::Mark(&mark);
      void* hole = Hole();
      Refuse(SYS_futex, static_cast<unsigned>(error));
      EXPECT_FALSE(os::MayLook());
      EXPECT_FALSE(os::IsMarked(&mark));
      EXPECT_FALSE(os::Differs(&word, 7));
      EXPECT_FALSE(os::Differs(&word, 8));
      EXPECT_FALSE(os::Differs(hole, 7));
    });
  }
}

TEST(OsTest, AnErrorOfAFilterSaysNothingOfThreads) {
  const size_t ended = IdOfAnEndedThread();
  EXPECT_FALSE(os::HasEnded(os::ProcessId(), os::ThreadId()));
  for (const int error : kRefusals) {
    InChild([=] {
      Refuse(SYS_tgkill, static_cast<unsigned>(error));
      EXPECT_FALSE(os::HasEnded(os::ProcessId(), os::ThreadId()));
      EXPECT_FALSE(os::HasEnded(os::ProcessId(), ended));
    });
  }
}

TEST(OsTest, RestartableSequencesAreThereIfTheKernelSaysSo) {
  EXPECT_EQ(os::HasRestartableSequences(), __rseq_size != 0);
  // NOLINTBEGIN(clang-analyzer-*): what a child of vfork may not do.
  const pid_t child = vfork();
  if (child == 0) _exit(os::HasRestartableSequences() ? 1 : 0);
  // NOLINTEND(clang-analyzer-*)
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  for (const int error : kRefusals) {
    InChild([error] {
      StopRestartableSequences();
      EXPECT_FALSE(os::HasRestartableSequences());
      Refuse(SYS_rseq, static_cast<unsigned>(error));
      EXPECT_FALSE(os::HasRestartableSequences());
    });
  }
}

TEST(OsTest, WhatASignalLeadsToIsPutBack) {
  static int calls;
  struct sigaction own {};
  own.sa_handler = [](int) { ++calls; };
  own.sa_flags = SA_NODEFER;
  sigaddset(&own.sa_mask, SIGUSR2);
  ASSERT_EQ(sigaction(SIGUSR1, &own, nullptr), 0);
  os::SignalAction action{};
  ASSERT_TRUE(os::GetAction(SIGUSR1, &action));
  EXPECT_EQ(action.handler, own.sa_handler);
  EXPECT_EQ(action.mask, 1ul << (SIGUSR2 - 1));

  ASSERT_TRUE(os::SetAction(SIGUSR1, {SIG_IGN, 0, nullptr, 0}));
  raise(SIGUSR1);
  EXPECT_EQ(calls, 0);
  ASSERT_TRUE(os::SetAction(SIGUSR1, action));
  raise(SIGUSR1);
  EXPECT_EQ(calls, 1);
  struct sigaction now {};
  ASSERT_EQ(sigaction(SIGUSR1, nullptr, &now), 0);
  EXPECT_NE(now.sa_flags & SA_NODEFER, 0);
  EXPECT_EQ(sigismember(&now.sa_mask, SIGUSR2), 1);
  EXPECT_FALSE(os::SetAction(SIGKILL, action));
  EXPECT_FALSE(os::GetAction(1000, &action));
  signal(SIGUSR1, SIG_DFL);
}

TEST(OsTest, IdsThatAreNotToldAreZero) {
  for (const int error : kRefusals) {
    InChild([error] {
      Refuse(SYS_getpid, static_cast<unsigned>(error));
      Refuse(SYS_gettid, static_cast<unsigned>(error));
      EXPECT_EQ(os::ProcessId(), 0u);
      EXPECT_EQ(os::ThreadId(), 0u);
    });
  }
}

}  // namespace
}  // namespace aomalloc
