#include "test/stepper/calls.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

namespace stepper {
namespace {

constexpr unsigned long kPage = 4096;

// What a call does may be
enum Kind {
  kAsks,    // nothing: its answer is all there is to it
  kTells,   // to write what it tells somewhere
  kMaps,    // a new mapping, at an address that its answer tells
  kMoves,   // to move pages
  kRanges,  // to change the range of its first two arguments
  kSpeaks,  // to write and end: not of the heap, and left alone
};

struct Rule {
  long number;
  const char* name;
  Kind kind;
  // An error that is no refusal but what the call was made to hear; else 0.
  int answer = 0;
};

// A call that is not here fails the test: it has to be thought about.
constexpr Rule kRules[] = {
    {SYS_mmap, "mmap", kMaps},
    {SYS_munmap, "munmap", kRanges},
    {SYS_mprotect, "mprotect", kRanges},
    {SYS_madvise, "madvise", kRanges},
    {SYS_mremap, "mremap", kMoves},
    {SYS_futex, "futex", kAsks, EAGAIN},   // compares: the word has changed
    {SYS_tgkill, "tgkill", kAsks, ESRCH},  // signal 0: there is no such thread
    {SYS_getpid, "getpid", kAsks},
    {SYS_gettid, "gettid", kAsks},
    {SYS_get_robust_list, "get_robust_list", kTells},
    {SYS_rseq, "rseq", kAsks, EPERM},  // not unregistered: another signature
    {SYS_clock_gettime, "clock_gettime", kTells},
    {SYS_prlimit64, "prlimit64", kTells},
    {SYS_process_vm_readv, "process_vm_readv", kTells},
    {SYS_brk, "brk", kAsks},  // of 0
    {SYS_mincore, "mincore", kTells},
    {SYS_membarrier, "membarrier", kAsks},
    {SYS_rt_sigaction, "rt_sigaction", kTells},  // of no new one
    {SYS_rt_sigprocmask, "rt_sigprocmask", kTells},
    {SYS_rt_sigpending, "rt_sigpending", kTells},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait", kAsks},
    {SYS_write, "write", kSpeaks},
};

const Rule* RuleOf(const Call& call) {
  for (const Rule& rule : kRules) {
    if (rule.number == call.number) return &rule;
  }
  return nullptr;
}

// The place of a FIXED mapping is unmapped before the kernel looks whether it
// can be mapped: of mremap until Linux 6.16, of mmap until 6.11.
bool HasFixedPlace(const Call& call) {
  if (call.number == SYS_mmap) return (call.arguments[3] & MAP_FIXED) != 0;
  return (call.arguments[3] & MREMAP_FIXED) != 0;
}

unsigned long HalfOf(unsigned long bytes) { return bytes / 2 / kPage * kPage; }

// The mapping that is torn off when the call fails.
Call Unmap(const Call& call, unsigned long start, unsigned long bytes) {
  return {call.pc, SYS_munmap, {start, bytes}};
}

}  // namespace

const Error kErrors[kNumErrors] = {
    {"EPERM", EPERM},   {"EINVAL", EINVAL}, {"ENOMEM", ENOMEM},
    {"ENOSYS", ENOSYS}, {"EAGAIN", EAGAIN}, {"EINTR", EINTR},
};

Call CallIn(const user_regs_struct& registers) {
  return {registers.rip - 2,
          static_cast<long>(registers.orig_rax),
          {registers.rdi, registers.rsi, registers.rdx, registers.r10,
           registers.r8, registers.r9}};
}

const char* NameOf(const Call& call) {
  const Rule* rule = RuleOf(call);
  return rule == nullptr ? nullptr : rule->name;
}

bool IsSystemCall(uintptr_t pc) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(pc);
  return bytes[0] == 0x0f && bytes[1] == 0x05;
}

bool IsFailing(Mode mode) { return mode >= Mode::kRefused; }

bool CanFail(const Call& call, Mode mode) {
  const Rule* rule = RuleOf(call);
  if (rule == nullptr || rule->kind == kSpeaks) return false;
  switch (mode) {
    case Mode::kActed:
      // Pages moved to where only the answer says would be lost; and no kernel
      // moves pages and then says no, without moving them back.
      if (rule->kind == kMoves) return HasFixedPlace(call);
      return rule->kind != kAsks;
    case Mode::kHalf:
      if (rule->kind == kRanges) return call.arguments[1] >= 2 * kPage;
      // Since Linux 6.17 a move over a place may be one of several mappings,
      // and stop at one of them; it cannot change the length then.
      return rule->kind == kMoves && HasFixedPlace(call) &&
             call.arguments[1] == call.arguments[2] &&
             call.arguments[1] >= 2 * kPage;
    case Mode::kTorn:
      return (rule->kind == kMaps || rule->kind == kMoves) &&
             HasFixedPlace(call);
    default:
      return true;
  }
}

bool CanFailWith(const Call& call, Mode mode, int error) {
  const Rule* rule = RuleOf(call);
  // Once mmap has unmapped, nothing but memory can be wanting.
  if (mode == Mode::kTorn && rule->kind == kMaps) return error == ENOMEM;
  return rule->answer != error;
}

bool AsksForClaimant(const Call& call) { return call.number == SYS_futex; }

bool AsksForOwner(long number) {
  return number == SYS_futex || number == SYS_tgkill || number == SYS_getpid ||
         number == SYS_gettid || number == SYS_get_robust_list ||
         number == SYS_rseq;
}

Instead InsteadOf(const Call& call, Mode mode) {
  Call part = call;
  switch (mode) {
    case Mode::kActed:
      return {1, {call}};
    case Mode::kTorn:
      if (call.number == SYS_mmap) {
        return {1, {Unmap(call, call.arguments[0], call.arguments[1])}};
      }
      return {1, {Unmap(call, call.arguments[4], call.arguments[2])}};
    case Mode::kHalf: {
      const unsigned long half = HalfOf(call.arguments[1]);
      part.arguments[1] = half;
      if (call.number != SYS_mremap) return {1, {part}};
      part.arguments[2] = half;
      // The place of the mapping at which it stops has been unmapped.
      const Call unmap =
          Unmap(call, call.arguments[4] + half, call.arguments[2] - half);
      return {2, {part, unmap}};
    }
    default:
      return {};
  }
}

void Ask(const Call& call, user_regs_struct* registers) {
  registers->orig_rax = static_cast<unsigned long>(call.number);
  registers->rdi = call.arguments[0];
  registers->rsi = call.arguments[1];
  registers->rdx = call.arguments[2];
  registers->r10 = call.arguments[3];
  registers->r8 = call.arguments[4];
  registers->r9 = call.arguments[5];
}

}  // namespace stepper
