// The switch of the hardened build, and its secret. That build adds
// heap/hardened_blocks.h, heap/quarantine.h, hardened_spans.h and
// arena/guards.h. In the plain build all of it compiles to nothing.
//
// Who touches what: any thread and handler may call anything here. MakeSecret
// commits with the store to the first word of the secret, and each caller
// stores the same values.
#ifndef AOMALLOC_CORE_BASE_HARDENING_H_
#define AOMALLOC_CORE_BASE_HARDENING_H_

#include <cstddef>
#include <cstdint>

#include "core/base/atomics.h"

namespace aomalloc::hardening {

#ifdef AOMALLOC_HARDENED
constexpr bool kOn = true;
#else
constexpr bool kOn = false;
#endif

// The least number of bytes that a block has behind those that were asked for.
constexpr size_t kCanaryBytes = kOn ? 8 : 0;

// Made of random bytes from the kernel, which differ from one execve to the
// next; a child of fork has its parent's. 0 until Start, which each heap calls
// before anything else.
extern AtomicWord secret[2] __attribute__((visibility("hidden")));
void MakeSecret();
inline void Start() {
  // Acquire: who sees the first word sees the second.
  if (kOn && LoadAcquire(&secret[0]) == 0) MakeSecret();
}

// A value made of the secret and the address, which looks random. It is half as
// long as the secret, and the upper half of a product goes into it: a value and
// its address do not give the secret away.
inline uintptr_t SecretFor(const void* address) {
  const auto value =
      reinterpret_cast<uintptr_t>(address) ^ LoadRelaxed(&secret[0]);
  const auto product =
      static_cast<unsigned __int128>(value) * LoadRelaxed(&secret[1]);
  return static_cast<uintptr_t>(product) ^
         static_cast<uintptr_t>(product >> 64);
}

}  // namespace aomalloc::hardening

#endif  // AOMALLOC_CORE_BASE_HARDENING_H_
