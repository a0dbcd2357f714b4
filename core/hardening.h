// The hardened build: what it adds, behind one constant. Where that is false,
// as in the plain build, all of it compiles to nothing.
//
// A block of the hardened build ends in a word that holds its requested size,
// mixed with a secret; between the two lies a pattern. So a write beyond the
// end is seen when the block is freed. A freed block is wiped; what is not zero
// when it is handed out again was written to meanwhile. It waits in a
// quarantine in between. Mapped runs end in a guard, which nobody can touch.
#ifndef AOMALLOC_CORE_HARDENING_H_
#define AOMALLOC_CORE_HARDENING_H_

#include <cstddef>
#include <cstdint>

#include "core/atomics.h"

namespace aomalloc {

class Block;
struct Layout;

namespace hardening {

#ifdef AOMALLOC_HARDENED
constexpr bool kOn = true;
#else
constexpr bool kOn = false;
#endif

// What a block has behind what was asked for, at least.
constexpr size_t kCanaryBytes = kOn ? 8 : 0;

// From the kernel, another one for each process that is started; a constant
// until Start, which the first heap calls. Written with that value only.
extern AtomicWord secret __attribute__((visibility("hidden")));
void Start();

// The secret, in another form for each address.
inline uintptr_t SecretFor(const void* address) {
  const auto value =
      reinterpret_cast<uintptr_t>(address) ^ LoadRelaxed(&secret);
  const uintptr_t mixed = value * 0x9E3779B97F4A7C15u;
  return mixed ^ mixed >> 32;
}

// Makes a live block of `size` bytes of a block of `block_size`. It is whole
// as long as nobody has written beyond its end; then its size can be told.
void Dress(void* block, size_t block_size, size_t size);
bool IsWhole(const void* block, size_t block_size);
size_t SizeOf(const void* block, size_t block_size);

// Wipes a block, all but what a link needs; true if it is still wiped, and its
// link is cleared.
void Wipe(void* block, size_t block_size);
bool IsWiped(const void* block, size_t block_size);

// Freed blocks that are not to be used again at once. A heap has one; only who
// has its claim touches it. Exchange commits with one store; abandoned after
// it, it loses the block that leaves.
class Quarantine {
 public:
  static constexpr size_t kBlocks = 256;
  static constexpr size_t kMaxBlockBytes = 4096;  // so it is 1 MiB at most

  // Takes a block in; returns one that leaves for it, at random, or null.
  Block* Exchange(Block* block);

  // Lets one leave; null if there is none.
  Block* Release();

 private:
  friend struct aomalloc::Layout;  // for debuggers (preload/layout.cc)

  static constexpr size_t kPlaces = kOn ? kBlocks : 1;

  Block* blocks_[kPlaces] = {};
  uintptr_t random_ = 0;
};

}  // namespace hardening
}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HARDENING_H_
