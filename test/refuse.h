// Has the system refuse calls of this process from now on, as a filter does.
#ifndef AOMALLOC_TEST_REFUSE_H_
#define AOMALLOC_TEST_REFUSE_H_

#include <errno.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

namespace aomalloc {

// What a filter may answer, though the calls themselves would not.
constexpr int kRefusals[] = {EPERM,  EINVAL, ENOMEM, ENOSYS,
                             EAGAIN, EINTR,  EFAULT, ESRCH};

// Answers the call of this number with `error`: always, or, if `mask`
// is not 0, where that argument has a bit of it.
inline void RefuseIf(unsigned call, unsigned argument, unsigned mask,
                     unsigned error, unsigned how = SECCOMP_RET_ERRNO) {
  const unsigned at =
      offsetof(seccomp_data, args) + argument * sizeof(seccomp_data::args[0]);
  // Whatever it is, it is at least 0.
  const unsigned short test = mask == 0 ? BPF_JGE : BPF_JSET;
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at),
      BPF_JUMP(BPF_JMP | test | BPF_K, mask, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, how | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{6, program};
  ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}
inline void Refuse(unsigned call, unsigned error) {
  RefuseIf(call, 0, 0, error);
}

// Sends SIGSYS for the call.
inline void Trap(unsigned call) { RefuseIf(call, 0, 0, 0, SECCOMP_RET_TRAP); }

// Refuses the primary arena: so mapped memory comes in pieces.
inline void RefusePrimary() {
  constexpr unsigned kFlags = 3;  // which argument of mmap
  RefuseIf(SYS_mmap, kFlags, MAP_FIXED_NOREPLACE, EPERM);
}

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_REFUSE_H_
