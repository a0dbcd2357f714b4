// The registers by which a stack is walked, and where each machine has them.
// All that differs between machines in the walk is in this file.
#ifndef AOMALLOC_CORE_PROFILE_REGISTERS_H_
#define AOMALLOC_CORE_PROFILE_REGISTERS_H_

#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>

namespace aomalloc {

struct Registers {
  uintptr_t pc;
  uintptr_t stack;
  uintptr_t frame;   // the frame pointer, if the function has one
  uintptr_t caller;  // the return address, if calls leave it in a register
};

#if defined(__x86_64__)

// The numbers of registers in call frame information (System V ABI,
// figure 3.36).
constexpr uint64_t kStackRegister = 7;    // rsp
constexpr uint64_t kFrameRegister = 6;    // rbp
constexpr uint64_t kReturnRegister = 16;  // the return address: its own column

// The registers of the function into which this is inlined, at one of its
// instructions.
[[gnu::always_inline]] inline Registers CurrentRegisters() {
  Registers r{};
  __asm__ volatile(
      "leaq 0(%%rip), %0\n\t"
      "movq %%rsp, %1\n\t"
      "movq %%rbp, %2"
      : "=&r"(r.pc), "=&r"(r.stack), "=&r"(r.frame));
  return r;
}

// A handler returns to code of the C library or of the kernel. If that code has
// no call frame information, the walk recognises it by these bytes.
constexpr uint8_t kSignalReturn[] = {
    0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0,  // mov $15, %rax
    0x0f, 0x05,                       // syscall
};

// What the stack pointer points to at that code.
using SignalFrame = ucontext_t;

inline Registers InterruptedRegisters(const SignalFrame& frame) {
  const auto* registers = frame.uc_mcontext.gregs;
  return {static_cast<uintptr_t>(registers[REG_RIP]),
          static_cast<uintptr_t>(registers[REG_RSP]),
          static_cast<uintptr_t>(registers[REG_RBP]), 0};
}

// How many bytes of it InterruptedRegisters reads, from its start.
constexpr uintptr_t kSignalFrameBytes =
    offsetof(SignalFrame, uc_mcontext.gregs) + (REG_RIP + 1) * sizeof(greg_t);

inline uintptr_t PlainAddress(uintptr_t address) { return address; }

#elif defined(__aarch64__)

constexpr uint64_t kStackRegister = 31;
constexpr uint64_t kFrameRegister = 29;
constexpr uint64_t kReturnRegister = 30;

[[gnu::always_inline]] inline Registers CurrentRegisters() {
  Registers r{};
  __asm__ volatile(
      "adr %0, .\n\t"
      "mov %1, sp\n\t"
      "mov %2, x29\n\t"
      "mov %3, x30"
      : "=&r"(r.pc), "=&r"(r.stack), "=&r"(r.frame), "=&r"(r.caller));
  return r;
}

// The kernel's code of this kind has no call frame information.
constexpr uint8_t kSignalReturn[] = {
    0x68, 0x11, 0x80, 0xd2,  // mov x8, #139
    0x01, 0x00, 0x00, 0xd4,  // svc #0
};

struct SignalFrame {
  siginfo_t info;
  ucontext_t context;
};

inline Registers InterruptedRegisters(const SignalFrame& frame) {
  const mcontext_t& context = frame.context.uc_mcontext;
  return {context.pc, context.sp, context.regs[29], context.regs[30]};
}

constexpr uintptr_t kSignalFrameBytes =
    offsetof(SignalFrame, context.uc_mcontext.pc) + sizeof(uintptr_t);

// A return address without the signature that it may have (pointer
// authentication).
inline uintptr_t PlainAddress(uintptr_t address) {
  return address & ((uintptr_t{1} << 48) - 1);
}

#else
#error "aomalloc: no registers for this machine yet (core/profile/registers.h)"
#endif

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_PROFILE_REGISTERS_H_
