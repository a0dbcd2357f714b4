// The hardened build: what happens to a block of a slab between malloc and
// free. In the plain build, each hook does what its comment says after
// "Plain:".
//
// A live block ends in a canary: a word that holds the requested size, mixed
// with a secret. A pattern fills the bytes between the requested size and the
// canary. So a write beyond the end is detected when the block is freed. A free
// block is wiped. If it is not all zero when it is handed out again, it was
// written to meanwhile.
//
// Who touches what: the program owns a live block. The operation that has a
// block in hand owns that one. Nothing here touches a block of a list.
//
// Interruption: an abandoned operation loses the block in hand. No hook commits
// anything.
#ifndef AOMALLOC_CORE_HEAP_HARDENED_BLOCKS_H_
#define AOMALLOC_CORE_HEAP_HARDENED_BLOCKS_H_

#include "core/arena/run.h"
#include "core/base/hardening.h"
#include "core/heap/slab.h"

namespace aomalloc::hardened {

// Makes a block of `block_size` bytes a live block of `size` bytes, at most
// block_size - kCanaryBytes. IsWhole is true as long as nobody writes beyond
// its end. SizeOf is the requested size if IsWhole is true; otherwise any size
// that the block has room for.
void Dress(void* block, size_t block_size, size_t size);
bool IsWhole(const void* block, size_t block_size);
size_t SizeOf(const void* block, size_t block_size);

// Clears a block, except for the words of its link. IsWiped is true if the
// whole block is zero: nobody has written to it since, and its link is cleared.
void Wipe(void* block, size_t block_size);
bool IsWiped(const void* block, size_t block_size);

// The hooks.

// Makes a block that malloc has taken off a list a live block of `size` bytes.
// False if somebody has written to it since it was freed; it is a live block
// all the same. Not for the plain build.
inline bool HandOut(const Run* slab, void* block, size_t size) {
  const bool wiped = IsWiped(block, slab::BlockSize(slab));
  Dress(block, slab::BlockSize(slab), size);
  return wiped;
}

// Makes a live block a free one, which is on no list yet. Plain: nothing is
// done.
inline void TakeBack(const Run* slab, void* block) {
  if constexpr (hardening::kOn) Wipe(block, slab::BlockSize(slab));
}

// False if somebody has written beyond the end of a live block; its size is
// then not known. Plain: true.
inline bool IsWhole(const Run* slab, const void* block) {
  return !hardening::kOn || IsWhole(block, slab::BlockSize(slab));
}

// The bytes of a live block that the program may use. Plain: all of them.
inline size_t UsableBytes(const Run* slab, const void* block) {
  const size_t size = slab::BlockSize(slab);
  return hardening::kOn ? SizeOf(block, size) : size;
}

// Makes a live block one of `size` bytes, in place. False, and nothing is done,
// if it has no room for `size` bytes, or if half of it would lie idle.
inline bool Resize(const Run* slab, void* block, size_t size) {
  const size_t block_size = slab::BlockSize(slab);
  if (size > block_size - hardening::kCanaryBytes || size <= block_size / 2) {
    return false;
  }
  if constexpr (hardening::kOn) Dress(block, block_size, size);
  return true;
}

// Clears the memory of a new slab. Plain: nothing is done; that memory may have
// any contents.
void WipeSlab(const Run* slab, size_t bytes);

}  // namespace aomalloc::hardened

#endif  // AOMALLOC_CORE_HEAP_HARDENED_BLOCKS_H_
