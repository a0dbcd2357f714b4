// What differs between processors as the kernel's interface does: one raw
// system call, and the size of pages. The call runs no code of the C library
// and leaves errno alone: the result is the kernel's, -errno on failure.
// base/barrier.cc, heap/claim.h, profile/registers.h and preload/dlopen.cc are
// the other files that differ between machines.
#ifndef AOMALLOC_CORE_BASE_SYSCALL_H_
#define AOMALLOC_CORE_BASE_SYSCALL_H_

#include <cstddef>

namespace aomalloc::os {

// A pointer as the argument of a system call.
inline long AsLong(const volatile void* p) { return reinterpret_cast<long>(p); }

#if defined(__x86_64__)

// The bytes in the largest page that a kernel may have for its small ones.
constexpr size_t kLargestPage = 4096;

inline long Syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0,
                    long e = 0, long f = 0) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
                     "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

#elif defined(__aarch64__)

constexpr size_t kLargestPage = 65536;

inline long Syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0,
                    long e = 0, long f = 0) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
}

#else
#error \
    "aomalloc: no system call sequence for this machine yet (core/base/syscall.h)"
#endif

}  // namespace aomalloc::os

#endif  // AOMALLOC_CORE_BASE_SYSCALL_H_
