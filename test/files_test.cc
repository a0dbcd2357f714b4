// What reports and profiles are written to: any file, or none; without waiting
// and without a signal.
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "core/base/os.h"
#include "core/base/output.h"
#include "test/child.h"
#include "test/testing.h"

namespace aomalloc {
namespace {

class FilesTest : public testing::Test {
 protected:
  FilesTest() {
    std::string name = testing::TempDir() + "files_test.XXXXXX";
    EXPECT_NE(mkdtemp(&name[0]), nullptr);
    folder_ = name + "/";
  }

  std::string In(const char* name) const { return folder_ + name; }

  static void Put(const std::string& path, const char* text) {
    std::ofstream(path) << text;
  }
  static std::string ContentsOf(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  // What both ways to open a path for writing must return.
  static void ExpectRefused(const std::string& path, int error) {
    EXPECT_EQ(os::OpenToAppend(path.c_str()), -error) << path;
    EXPECT_EQ(os::OpenToReplace(path.c_str()), -error) << path;
  }

 private:
  std::string folder_;
};

TEST_F(FilesTest, AreMadeAppendedToAndReplaced) {
  const std::string path = In("file");
  for (const char* expected : {"one", "oneone"}) {
    const int descriptor = os::OpenToAppend(path.c_str());
    EXPECT_TRUE(os::Write(descriptor, "one", 3));
    os::Close(descriptor);
    EXPECT_EQ(ContentsOf(path), expected);
  }
  const int descriptor = os::OpenToReplace(path.c_str());
  EXPECT_TRUE(os::Write(descriptor, "two", 3));
  os::Close(descriptor);
  EXPECT_EQ(ContentsOf(path), "two");
}

TEST_F(FilesTest, LinksAreNotFollowed) {
  Put(In("file"), "precious");
  ASSERT_EQ(symlink("file", In("symbolic").c_str()), 0);
  ASSERT_EQ(symlink("nothing", In("dangling").c_str()), 0);
  ExpectRefused(In("symbolic"), ELOOP);
  ExpectRefused(In("dangling"), ELOOP);
  EXPECT_NE(access(In("nothing").c_str(), F_OK), 0);
  ASSERT_EQ(link(In("file").c_str(), In("hard").c_str()), 0);
  ExpectRefused(In("hard"), EMLINK);
  EXPECT_EQ(ContentsOf(In("file")), "precious");
}

TEST_F(FilesTest, AFifoIsOpenedIfItIsRead) {
  const std::string path = In("fifo");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  ExpectRefused(path, ENXIO);
  const int reader = open(path.c_str(), O_RDONLY | O_NONBLOCK);
  const int descriptor = os::OpenToReplace(path.c_str());
  EXPECT_TRUE(os::Write(descriptor, "one", 3));
  char text[4] = {};
  EXPECT_EQ(read(reader, text, 3), 3);
  EXPECT_STREQ(text, "one");
  os::Close(descriptor);
  close(reader);
}

class WriteTest : public testing::Test {
 protected:
  // A pipe that has a writer who does not wait.
  void SetUp() override {
    ASSERT_EQ(pipe(ends_), 0);
    ASSERT_EQ(fcntl(ends_[1], F_SETFL, O_NONBLOCK), 0);
  }
  void TearDown() override {
    close(ends_[0]);
    close(ends_[1]);
  }

  int reader() const { return ends_[0]; }
  int writer() const { return ends_[1]; }
  void CloseReader() { close(ends_[0]); }

 private:
  int ends_[2];
};

TEST_F(WriteTest, WhoStalledIsGivenUp) {
  const std::string text(1 << 20, 'x');
  const double before = Seconds();
  EXPECT_FALSE(os::Write(writer(), text.c_str(), text.size()));
  // And what would follow is not tried.
  {
    Output out(writer());
    for (int i = 0; i < 10000; ++i) out.Text("more");
  }
  EXPECT_LT(Seconds() - before, 10);
}

TEST_F(WriteTest, WhoIsSlowGetsAllOfIt) {
  constexpr size_t kBytes = 1 << 20;
  size_t count = 0;
  std::thread slow([&] {
    char buffer[10000];
    ssize_t length;
    while (count < kBytes &&
           (length = read(reader(), buffer, sizeof(buffer))) > 0) {
      count += static_cast<size_t>(length);
      std::this_thread::yield();
    }
  });
  EXPECT_TRUE(os::Write(writer(), std::string(kBytes, 'x').c_str(), kBytes));
  slow.join();
  EXPECT_EQ(count, kBytes);
}

TEST_F(WriteTest, WhoHasGoneCausesNoSignal) {
  signal(SIGPIPE, SIG_DFL);
  CloseReader();
  EXPECT_FALSE(os::Write(writer(), "x", 1));
  // One that the program has waiting is the program's.
  sigset_t set, pending, mask;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  EXPECT_FALSE(os::Write(writer(), "x", 1));
  sigpending(&pending);
  EXPECT_FALSE(sigismember(&pending, SIGPIPE));
  raise(SIGPIPE);
  EXPECT_FALSE(os::Write(writer(), "x", 1));
  sigpending(&pending);
  EXPECT_TRUE(sigismember(&pending, SIGPIPE));
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_TRUE(sigismember(&mask, SIGPIPE));
  EXPECT_FALSE(sigismember(&mask, SIGXFSZ));
  const timespec now{};
  EXPECT_EQ(sigtimedwait(&set, nullptr, &now), SIGPIPE);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

TEST_F(FilesTest, OneThatMayNotGrowCausesNoSignal) {
  InChild([this] {
    signal(SIGXFSZ, SIG_DFL);
    const rlimit limit{10, RLIM_INFINITY};
    const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const int descriptor = os::OpenToAppend(In("short").c_str());
    EXPECT_FALSE(os::Write(descriptor, "twelve bytes", 12));
    setrlimit(RLIMIT_FSIZE, &none);
    EXPECT_EQ(ContentsOf(In("short")).size(), 10u);
    os::Close(descriptor);
  });
}

TEST(DuplicateTest, IsOutOfTheWay) {
  const int second = os::Duplicate(2);
  EXPECT_GE(second, 200);
  EXPECT_TRUE(os::FileOf(second) == os::FileOf(2));
  os::Close(second);
  EXPECT_EQ(os::Duplicate(1000), -EBADF);
}

TEST(DuplicateTest, AlsoWhereThereAreFew) {
  InChild([] {
    rlimit limit{100, 100};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT_GE(os::Duplicate(2), 50);
    limit = {20, 20};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT_LT(os::Duplicate(2), 0);
  });
}

}  // namespace
}  // namespace aomalloc
