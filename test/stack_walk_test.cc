// Walks of stacks: of real ones, where the walk must find what the unwinder of
// the compiler's runtime finds; and of such as are broken.
#include "core/profile/stack_walk.h"

#include <alloca.h>
#include <execinfo.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "core/profile/registers.h"

namespace aomalloc {
namespace {

constexpr size_t kMost = 100;
using Addresses = std::vector<uintptr_t>;

struct Stacks {
  Addresses ours;
  Addresses theirs;
};
Stacks found;

// Both walks begin in this function, at different instructions of it.
[[gnu::noinline]] void LookBack() {
  void* theirs[kMost];
  Addresses ours(kMost);
  ours.resize(stack_walk::Walk(CurrentRegisters(), ours.data(), kMost));
  const int count = backtrace(theirs, kMost);
  found = Stacks();
  found.ours.assign(ours.begin() + 1, ours.end());
  for (int i = 1; i < count; ++i) {
    found.theirs.push_back(reinterpret_cast<uintptr_t>(theirs[i]));
  }
}

// The unwinder tells the interrupted instruction itself.
void ExpectSame(size_t least, bool interrupted = false) {
  EXPECT_GE(found.ours.size(), least);
  ASSERT_EQ(found.ours.size(), found.theirs.size());
  size_t differ = 0;
  for (size_t i = 0; i < found.ours.size(); ++i) {
    if (found.ours[i] == found.theirs[i]) continue;
    EXPECT_EQ(found.ours[i], found.theirs[i] + 1);
    ++differ;
  }
  EXPECT_EQ(differ, interrupted ? 1 : 0);
}

volatile int sink;  // what is done after a call is no tail call

[[gnu::noinline]] void Recurse(int depth) {
  if (depth == 0) LookBack();
  if (depth > 0) Recurse(depth - 1);
  sink = depth;
}

[[gnu::noinline]] void WithFramePointer(int bytes) {
  char* room = static_cast<char*>(alloca(static_cast<size_t>(bytes)));
  memset(room, 1, static_cast<size_t>(bytes));
  LookBack();
  sink = static_cast<unsigned char>(room[0]);
}

// Gets its stack from a register that is saved in the frame.
[[gnu::noinline]] void WithAlignedStack(int bytes) {
  alignas(256) volatile char room[256];
  room[0] = static_cast<char>(bytes);
  WithFramePointer(bytes);
  sink = static_cast<unsigned char>(room[0]);
}

TEST(StackWalkTest, FindsWhatTheUnwinderFinds) {
  LookBack();
  ExpectSame(5);
  Recurse(30);
  ExpectSame(35);
  WithFramePointer(100);
  ExpectSame(6);
  WithAlignedStack(5000);
  ExpectSame(7);
}

TEST(StackWalkTest, InFunctionsOfTheLibrary) {
  int numbers[] = {2, 1};
  qsort(numbers, 2, sizeof(int), [](const void*, const void*) {
    LookBack();
    return 0;
  });
  ExpectSame(7);
  std::thread(LookBack).join();
  ExpectSame(3);
}

TEST(StackWalkTest, OutOfHandlers) {
  struct sigaction action {};
  action.sa_handler = [](int) { Recurse(2); };
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  raise(SIGUSR1);
  ExpectSame(10, true);

  // From one stack to the other.
  std::vector<char> stack(size_t{1} << 16);
  stack_t alternate{};
  alternate.ss_sp = stack.data();
  alternate.ss_size = stack.size();
  ASSERT_EQ(sigaltstack(&alternate, nullptr), 0);
  action.sa_flags = SA_ONSTACK;
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  raise(SIGUSR1);
  ExpectSame(10, true);
  alternate.ss_flags = SS_DISABLE;
  sigaltstack(&alternate, nullptr);
}

TEST(StackWalkTest, EndsWhereThereIsNoMore) {
  uintptr_t addresses[3];
  EXPECT_EQ(stack_walk::Walk(CurrentRegisters(), addresses, 3), 3u);
  EXPECT_EQ(stack_walk::Walk(CurrentRegisters(), addresses, 1), 1u);
  EXPECT_EQ(
      stack_walk::CountInside(reinterpret_cast<void*>(LookBack), addresses, 3),
      3u);
  EXPECT_EQ(
      stack_walk::CountInside(reinterpret_cast<void*>(qsort), addresses, 3),
      0u);
  EXPECT_EQ(stack_walk::CountInside(addresses, addresses, 3), 0u) << "not code";
}

// A stack of our own making, with nothing behind it.
class Edge {
 public:
  Edge() {
    char* pages =
        static_cast<char*>(mmap(nullptr, 2 * kBytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(pages + kBytes, kBytes, PROT_NONE);
    end_ = reinterpret_cast<uintptr_t*>(pages + kBytes);
  }
  ~Edge() { munmap(end_ - kBytes / sizeof(*end_), 2 * kBytes); }
  Edge(const Edge&) = delete;
  Edge& operator=(const Edge&) = delete;

  // So many words before the end.
  uintptr_t* Word(int before) const { return end_ - before; }
  uintptr_t At(int before) const {
    return reinterpret_cast<uintptr_t>(Word(before));
  }

 private:
  static constexpr size_t kBytes = 65536;
  uintptr_t* end_;
};

size_t WalkFrom(const Registers& registers, Addresses* addresses = nullptr) {
  uintptr_t all[kMost];
  const size_t count = stack_walk::Walk(registers, all, kMost);
  if (addresses != nullptr) addresses->assign(all, all + count);
  return count;
}

// Code of which nothing is known.
constexpr uintptr_t kNowhere = 0x1000;

TEST(StackWalkTest, FollowsFramePointersWhereNothingElseIsKnown) {
  const Edge edge;
  *edge.Word(20) = edge.At(10);
  *edge.Word(19) = kNowhere + 1;
  *edge.Word(10) = edge.At(0);  // no memory
  *edge.Word(9) = kNowhere + 2;
  Addresses addresses;
  WalkFrom({kNowhere, edge.At(30), edge.At(20), 0}, &addresses);
  EXPECT_EQ(addresses, (Addresses{kNowhere + 1, kNowhere + 1, kNowhere + 2}));
  *edge.Word(9) = 0;
  EXPECT_EQ(WalkFrom({kNowhere, edge.At(30), edge.At(20), 0}), 2u);
  *edge.Word(10) = edge.At(20);  // back
  *edge.Word(9) = kNowhere + 2;
  EXPECT_EQ(WalkFrom({kNowhere, edge.At(30), edge.At(20), 0}), 3u);
  for (const uintptr_t frame :
       {uintptr_t{0}, edge.At(40), edge.At(1), edge.At(20) + 1, edge.At(0),
        edge.At(0) + (uintptr_t{1} << 30)}) {
    EXPECT_EQ(WalkFrom({kNowhere, edge.At(30), frame, 0}), 1u);
  }
}

// Registers as they are behind the call of LookBack in a function.
uintptr_t ReturnInto(void (*function)(int)) {
  function(100);
  return found.ours[0];
}

TEST(StackWalkTest, BelievesNoStackThatCannotBe) {
  const Edge edge;
  const uintptr_t with_frame = ReturnInto(WithFramePointer);
  // Its caller's stack would be below its own.
  EXPECT_EQ(WalkFrom({with_frame, edge.At(10), edge.At(200), 0}), 1u);
  // The return address would be behind the end.
  EXPECT_EQ(WalkFrom({with_frame, edge.At(10), edge.At(1), 0}), 1u);
  EXPECT_EQ(WalkFrom({with_frame, edge.At(10), 0, 0}), 1u);
  EXPECT_EQ(WalkFrom({with_frame, edge.At(10), ~uintptr_t{0} - 7, 0}), 1u);
  Recurse(1);
  EXPECT_EQ(WalkFrom({found.ours[0], edge.At(1), 0, 0}), 1u);
  EXPECT_EQ(WalkFrom({found.ours[0], 8, 0, 0}), 1u);
}

uintptr_t trampoline;

TEST(StackWalkTest, BelievesNoSignalFrameThatIsNotThere) {
  struct sigaction action {};
  action.sa_handler = [](int) {
    trampoline = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  };
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  raise(SIGUSR1);
  const Edge edge;
  EXPECT_EQ(WalkFrom({trampoline, edge.At(0), 0, 0}), 1u);
  EXPECT_EQ(WalkFrom({trampoline, edge.At(2), 0, 0}), 1u) << "a part of one";
  EXPECT_EQ(WalkFrom({trampoline, edge.At(2000), 0, 0}), 1u) << "all zero";
}

#if defined(__x86_64__)
// Nothing is known of this function, but that it has a frame pointer.
extern "C" void plain_function(void (*f)());
__asm__(
    "plain_function:\n"
    "  push %rbp\n"
    "  mov %rsp, %rbp\n"
    "  sub $64, %rsp\n"
    "  call *%rdi\n"
    "  leave\n"
    "  ret\n");

// What compilers make of a function that aligns its stack. Its canonical frame
// address is in a register that does not matter, and then in memory.
extern "C" void aligned_function(void (*f)());
extern "C" char in_aligned_function[];
__asm__(
    "aligned_function:\n"
    "  .cfi_startproc\n"
    "  leaq 8(%rsp), %r10\n"
    "  .cfi_def_cfa r10, 0\n"
    "in_aligned_function:\n"
    "  andq $-64, %rsp\n"
    "  pushq -8(%r10)\n"
    "  pushq %rbp\n"
    "  movq %rsp, %rbp\n"
    "  .cfi_escape 0x10, 6, 2, 0x76, 0\n"
    "  pushq %r10\n"
    "  .cfi_escape 0x0f, 3, 0x76, 0x78, 6\n"
    "  subq $40, %rsp\n"
    "  call *%rdi\n"
    "  movq -8(%rbp), %r10\n"
    "  leave\n"
    "  leaq -8(%r10), %rsp\n"
    "  ret\n"
    "  .cfi_endproc\n");

// As a handler's that was not installed by way of the C library.
extern "C" void plain_return();
__asm__(
    "  nop\n"
    "plain_return:\n"
    "  mov $15, %rax\n"
    "  syscall\n");

TEST(StackWalkTest, OutOfHandlersThatReturnByThemselves) {
  struct {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    unsigned long mask;
  } action{};
  action.handler = [](int) { Recurse(2); };
  action.flags = 0x04000000;  // SA_RESTORER
  action.restorer = plain_return;
  ASSERT_EQ(syscall(SYS_rt_sigaction, SIGUSR1, &action, nullptr, 8), 0);
  raise(SIGUSR1);
  ExpectSame(10, true);
}

TEST(StackWalkTest, PassesByFunctionsThatAlignTheirStack) {
  aligned_function(LookBack);
  ExpectSame(6);
  const Edge edge;
  EXPECT_EQ(WalkFrom({reinterpret_cast<uintptr_t>(in_aligned_function),
                      edge.At(10), 0, 0}),
            1u);
}

TEST(StackWalkTest, PassesByFunctionsOfWhichNothingIsKnown) {
  plain_function(LookBack);
  EXPECT_LT(found.theirs.size(), found.ours.size());
  const Addresses ours = found.ours;
  LookBack();
  ExpectSame(5);
  // But for where this test goes on.
  EXPECT_TRUE(std::equal(found.ours.begin() + 1, found.ours.end(),
                         ours.begin() + 2, ours.end()));
}
#endif

}  // namespace
}  // namespace aomalloc
