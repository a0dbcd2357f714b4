#include "core/base/hardening.h"

#include <string.h>
#include <sys/auxv.h>

namespace aomalloc::hardening {

AtomicWord secret[2];

void MakeSecret() {
  // 16 random bytes, from which the C library makes its own secrets. They do
  // not change, so each thread that comes here computes the same value.
  const auto* random = reinterpret_cast<const char*>(getauxval(AT_RANDOM));
  uintptr_t words[2] = {1, 2};
  if (random != nullptr) memcpy(words, random, sizeof(words));
  const uintptr_t first =
      (words[0] * 0xD6E8FEB86659FD93u) ^ (words[1] * 0xCA5A826395121157u);
  const uintptr_t second =
      (words[0] * 0xA0761D6478BD642Fu) ^ (words[1] * 0xE7037ED1A0B428DBu);
  // A product with an odd number differs for each address.
  StoreRelaxed(&secret[1], (second ^ second >> 29) | 1);
  // Release: Start says why.
  StoreRelease(&secret[0], (first ^ first >> 29) | 1);
}

}  // namespace aomalloc::hardening
