#include "core/base/barrier.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>

#include "core/base/atomics.h"
#include "core/base/os.h"
#include "core/base/syscall.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <string.h>
#endif

namespace aomalloc::barrier {
namespace {

long Membarrier(long command, long flags) {
  return os::Syscall(SYS_membarrier, command, flags);
}

void Register() { Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0); }

#if defined(__x86_64__)

// A name of twelve letters, in three registers.
class Name {
 public:
  Name(unsigned a, unsigned b, unsigned c) : part_{a, b, c} {}
  bool operator==(const char* name) const {
    return memcmp(part_, name, sizeof(part_)) == 0;
  }

 private:
  unsigned part_[3];
};

// Of processors. Translators for other machines say their own name, or one of
// these.
constexpr const char* kMakers[] = {"GenuineIntel", "AuthenticAMD",
                                   "HygonGenuine", "CentaurHauls",
                                   "  Shanghai  "};

bool IsMadeByKnownMaker() {
  unsigned most, b, c, d;
  __cpuid(0, most, b, c, d);
  const Name maker(b, d, c);
  for (const char* known : kMakers) {
    if (maker == known) return true;
  }
  return false;
}

bool IsTcg() {
  unsigned most, b, c, d;
  __cpuid(0x40000000, most, b, c, d);
  return Name(b, c, d) == "TCGTCGTCGTCG";
}

// True if the kernel has restartable sequences, which translators cannot have:
// a program says at which of its instructions one ends. Nothing changes by
// asking with flags that there are not.
bool HasSequences() {
  constexpr long kNoSuchFlags = long{1} << 30;
  return os::Syscall(SYS_rseq, 0, 0, kNoSuchFlags, 0) == -EINVAL;
}

// True unless it is certain that the processor runs the instructions as they
// are written. That stays as it is; a filter may refuse an answer for a while.
bool IsTranslated() {
  static AtomicWord is_native;
  if (LoadRelaxed(&is_native) != 0) return false;
  if (!IsMadeByKnownMaker() || IsTcg() || !HasSequences()) return true;
  StoreRelaxed(&is_native, 1);
  return false;
}

#else

// No instruction here both loads and stores plainly, and translators make
// atomic ones of atomic ones.
bool IsTranslated() { return false; }

#endif

}  // namespace

void Prepare() {
  if (!IsTranslated() && os::TrapsNoCall()) Register();
}

bool PassAll() {
  if (IsTranslated() || !os::TrapsNoCall()) return false;
  long error = Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
  if (error == -EPERM) {  // not registered
    Register();
    error = Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
  }
  // A filter may report success. But the kernel knows no flags for this
  // command. It is asked after the barrier: so a filter that was set up in
  // between is noticed, too.
  constexpr long kNoSuchFlags = -1;
  return error == 0 &&
         Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, kNoSuchFlags) == -EINVAL;
}

}  // namespace aomalloc::barrier
