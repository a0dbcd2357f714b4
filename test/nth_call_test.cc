// Every call by which the allocator asks the system for memory, or gives it
// back, is refused in turn: the n-th alone, and all from the n-th on. Who asks
// gets null and ENOMEM, or what can be had without; what there is stays as it
// is; nothing is lost; and when the system is willing again all is as ever.
#include <errno.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <string>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/base/syscall.h"
#include "core/report/statistics.h"
#include "test/child.h"
#include "test/refuse.h"
#include "test/testing.h"

// The program's code, as the linker knows it.
extern "C" const char __executable_start, etext;

namespace aomalloc {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

// System calls of the allocator, of which one kind is counted and refused. A
// filter turns them into signals, whose handler makes the call itself or
// answers it with an error. x86-64.
class Refusals {
 public:
  // Refuses calls of this number: the n-th, from 1, and if `ever` all after it.
  static void Begin(int call, int n, bool ever) {
    call_ = call;
    n_ = n;
    ever_ = ever;
    struct sigaction action {};
    action.sa_sigaction = OnCall;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    ASSERT_EQ(sigaction(SIGSYS, &action, nullptr), 0);
    Install(static_cast<unsigned>(call));
  }
  static void End() { active_ = false; }

  // Whether there have been so many calls.
  static bool HaveBegun() { return count_ >= n_; }

 private:
  // Tells a call of the handler from others: as the sixth argument, which these
  // calls do not look at, or look at only to see that it is a page's multiple.
  static constexpr long kSeal = 0x5ea1000;

  static void Install(unsigned call) {
    // Calls from the code of this program, with which the allocator is linked;
    // those of libc, which blocks signals now and then, are left alone.
    const auto start = reinterpret_cast<uintptr_t>(&__executable_start);
    const auto end = reinterpret_cast<uintptr_t>(&etext);
    ASSERT_EQ(start >> 32, end >> 32);
    constexpr unsigned kAddress = offsetof(seccomp_data, instruction_pointer);
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 8),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kSeal, 6, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kAddress + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(start >> 32),
                 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kAddress),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, static_cast<unsigned>(start), 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, static_cast<unsigned>(end), 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{sizeof(program) / sizeof(program[0]), program};
    ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
  }

  static void OnCall(int, siginfo_t*, void* context) {
    auto* r = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    if (active_ && ++count_ >= n_ && (ever_ || count_ == n_)) {
      r[REG_RAX] = -ENOMEM;
      return;
    }
    r[REG_RAX] = os::Syscall(call_, r[REG_RDI], r[REG_RSI], r[REG_RDX],
                             r[REG_R10], r[REG_R8], kSeal);
  }

  inline static int call_;
  inline static int n_;
  inline static bool ever_;
  inline static bool active_ = true;
  inline static int count_ = 0;
};

struct Piece {
  void* block;
  size_t size;
  uint8_t seed;
};

// What a program might do. Counts what it was refused.
class Workload {
 public:
  int refused() const { return refused_; }

  void Run() {
    for (size_t size : {16, 100, 700, 5000, 30000}) {
      for (int i = 0; i < 20; ++i) Take(size);
    }
    // Slabs that are filled one after the other are populated.
    for (int i = 0; i < 3 * 64; ++i) Take(1024);
    // Large blocks, and larger when they grow: in place and by moving.
    for (int i = 0; i < 3; ++i) Take(2 * kMiB);
    for (int i = 0; i < 3; ++i) Grow(pieces_.size() - 3, 5 * kMiB);
    Take(9 * kMiB);
    TakeZeroed(3 * kMiB);
    TakeAligned(4 * kMiB, 100);
    Check();
    // Much is free now, and given back.
    for (int i = 0; i < 5; ++i) Free(pieces_.size() - 1);
    std::thread([this] {
      for (int i = 0; i < 50; ++i) Take(3000);
      for (int i = 0; i < 100; ++i) Free(static_cast<size_t>(i));
    }).join();
    Take(kMiB);
    Trim();
    Check();
  }

  void FreeAll() {
    while (!pieces_.empty()) Free(pieces_.size() - 1);
  }

 private:
  template <typename F>
  void* Call(F f) {
    errno = 0;
    void* block = f();
    if (block == nullptr) {
      EXPECT_EQ(errno, ENOMEM);
      ++refused_;
    }
    return block;
  }

  void Keep(void* block, size_t size) {
    if (block == nullptr) return;
    pieces_.push_back({block, size, static_cast<uint8_t>(pieces_.size())});
    // Of the whole of them, a slow machine would take long.
    Fill(block, Filled(pieces_.back()), pieces_.back().seed);
  }
  static size_t Filled(const Piece& piece) {
    return piece.size < 70000 ? piece.size : 70000;
  }

  void Take(size_t size) {
    Keep(Call([=] { return Allocate(size); }), size);
  }
  void TakeZeroed(size_t size) {
    void* block = Call([=] { return AllocateZeroed(size); });
    if (block != nullptr) {
      EXPECT_TRUE(IsZero(block, size));
    }
    Keep(block, size);
  }
  void TakeAligned(size_t alignment, size_t size) {
    Keep(Call([=] { return AllocateAligned(alignment, size); }), size);
  }
  void Grow(size_t index, size_t size) {
    if (index >= pieces_.size()) return;
    Piece* piece = &pieces_[index];
    void* block = Call([=] { return Reallocate(piece->block, size, "test"); });
    if (block == nullptr) return;
    piece->block = block;
    piece->size = size;
    ASSERT_TRUE(IsFilled(block, Filled(*piece), piece->seed));
  }
  void Free(size_t index) {
    if (index >= pieces_.size()) return;
    Piece* piece = &pieces_[index];
    ASSERT_TRUE(IsFilled(piece->block, Filled(*piece), piece->seed));
    aomalloc::Free(piece->block, "test");
    *piece = pieces_.back();
    pieces_.pop_back();
  }
  void Check() {
    for (const Piece& piece : pieces_) {
      ASSERT_TRUE(IsFilled(piece.block, Filled(piece), piece.seed));
    }
  }

  std::vector<Piece> pieces_;
  int refused_ = 0;
};

// Nothing is in use but heaps, and the address space is that of the arenas.
void ExpectNothingLost(size_t address_space_before) {
  EXPECT_TRUE(HeapsAreValid());
  const Statistics s = Count();
  EXPECT_EQ(s.block_bytes, 0u);
  EXPECT_EQ(s.span_bytes, 0u);
  size_t mapped = 0;
  Arena* arena;
  for (int i = 0; (arena = memory::ArenaAt(i)) != nullptr; ++i) {
    size_t own = 0;
    for (size_t unit = 0; unit < arena->end(); ++unit) {
      const auto& run = arena->table()[unit];
      if (!arena->InUse(unit)) continue;
      ASSERT_EQ(run.kind, RunKind::kOwn) << "unit " << unit << " of " << i;
      own += run.units;
      unit += run.units - 1;
    }
    EXPECT_EQ(arena->used_units(), own) << i;
    if (i == 0) continue;
    mapped +=
        arena->accessible_units() * (arena->unit_bytes() + 2 * sizeof(Run)) +
        8 * kMiB;
  }
  EXPECT_LT(AddressSpace() - address_space_before, mapped + 16 * kMiB);
}

constexpr int kNotReached = 3;

// A run in which calls are refused, and one in which they are not any more.
// True if there were as many as `n`.
bool Try(int call, int n, bool ever, bool in_pieces) {
  const int status = StatusOfChild([=] {
    if (in_pieces) RefusePrimary();
    mallopt(M_ARENA_MAX, 1);  // of the C library
    memory::EnableMmap();
    const size_t address_space = AddressSpace();
    Workload workload;
    Refusals::Begin(call, n, ever);
    workload.Run();
    const bool reached = Refusals::HaveBegun();
    Refusals::End();
    Workload again;
    again.Run();
    EXPECT_EQ(again.refused(), 0);
    again.FreeAll();
    workload.FreeAll();
    Trim();
    ExpectNothingLost(address_space);
    if (!reached) {
      EXPECT_EQ(workload.refused(), 0);
      exit(testing::Test::HasFailure() ? 1 : kNotReached);
    }
  });
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNotReached) return false;
  EXPECT_EQ(status, 0) << "call " << n << (ever ? " and all after it" : "");
  return true;
}

// The parameter: whether mapped memory comes in pieces.
class NthCallTest : public testing::TestWithParam<bool> {
 protected:
  // Refuses all there are, one after the other, of which there must be some.
  void TryEach(int call, int least) {
    for (const bool ever : {false, true}) {
      int n = 1;
      while (Try(call, n, ever, GetParam()) && !HasFailure()) ++n;
      EXPECT_GT(n, least);
      RecordProperty(ever ? "from_then_on" : "once", n - 1);
    }
  }
};

TEST_P(NthCallTest, Mmap) { TryEach(SYS_mmap, 1); }
TEST_P(NthCallTest, Munmap) { TryEach(SYS_munmap, 1); }
// The primary needs none.
TEST_P(NthCallTest, Mprotect) { TryEach(SYS_mprotect, GetParam() ? 5 : 0); }
TEST_P(NthCallTest, Madvise) { TryEach(SYS_madvise, 5); }
TEST_P(NthCallTest, Mremap) {
  if (!PagesAreMoved()) GTEST_SKIP() << "before Linux 5.14";
  TryEach(SYS_mremap, 1);
}

INSTANTIATE_TEST_SUITE_P(, NthCallTest, testing::Bool(), [](const auto& suite) {
  return suite.param ? std::string("Pieces") : std::string("Primary");
});

}  // namespace
}  // namespace aomalloc
