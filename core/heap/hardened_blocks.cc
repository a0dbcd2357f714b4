#include "core/heap/hardened_blocks.h"

#include <string.h>

namespace aomalloc::hardened {
namespace {

char* EndOf(void* block, size_t block_size) {
  return static_cast<char*>(block) + block_size - sizeof(uintptr_t);
}
const char* EndOf(const void* block, size_t block_size) {
  return static_cast<const char*>(block) + block_size - sizeof(uintptr_t);
}

// The canary holds the size four times, as a check.
constexpr uintptr_t kCopies = 0x0001000100010001;
constexpr uintptr_t kSizeMask = 0xffff;

// The canary without the secret.
uintptr_t Opened(const char* end) {
  uintptr_t word;
  memcpy(&word, end, sizeof(word));
  return word ^ hardening::SecretFor(end);
}

char PatternFor(const void* block) {
  return static_cast<char>(hardening::SecretFor(block) | 1);
}

}  // namespace

void Dress(void* block, size_t block_size, size_t size) {
  char* end = EndOf(block, block_size);
  char* behind = static_cast<char*>(block) + size;
  memset(behind, PatternFor(block), static_cast<size_t>(end - behind));
  const uintptr_t word = hardening::SecretFor(end) ^ (size * kCopies);
  memcpy(end, &word, sizeof(word));
}

size_t SizeOf(const void* block, size_t block_size) {
  const size_t most = block_size - sizeof(uintptr_t);
  const size_t size = Opened(EndOf(block, block_size)) & kSizeMask;
  return size < most ? size : most;
}

bool IsWhole(const void* block, size_t block_size) {
  const char* end = EndOf(block, block_size);
  const uintptr_t opened = Opened(end);
  const size_t size = opened & kSizeMask;
  if (opened != size * kCopies || size > block_size - sizeof(uintptr_t)) {
    return false;
  }
  const char pattern = PatternFor(block);
  for (const char* c = static_cast<const char*>(block) + size; c < end; ++c) {
    if (*c != pattern) return false;
  }
  return true;
}

void Wipe(void* block, size_t block_size) {
  memset(static_cast<char*>(block) + sizeof(Block), 0,
         block_size - sizeof(Block));
}

bool IsWiped(const void* block, size_t block_size) {
  const auto* word = static_cast<const uintptr_t*>(block);
  const uintptr_t* end = word + block_size / sizeof(*word);
  uintptr_t sum = 0;
  for (; word < end; ++word) sum |= *word;
  return sum == 0;
}

void WipeSlab(const Run* slab, size_t bytes) {
  if constexpr (hardening::kOn) memset(slab->base, 0, bytes);
}

}  // namespace aomalloc::hardened
