#include "core/hardening.h"

#include <string.h>
#include <sys/auxv.h>

#include "core/run.h"

namespace aomalloc::hardening {
namespace {

char* EndOf(void* block, size_t block_size) {
  return static_cast<char*>(block) + block_size - sizeof(uintptr_t);
}
const char* EndOf(const void* block, size_t block_size) {
  return static_cast<const char*>(block) + block_size - sizeof(uintptr_t);
}

// The last word has the size four times over, as a check.
constexpr uintptr_t kCopies = 0x0001000100010001;
constexpr uintptr_t kSizeMask = 0xffff;

uintptr_t Opened(const char* end) {
  uintptr_t word;
  memcpy(&word, end, sizeof(word));
  return word ^ SecretFor(end);
}

char PatternFor(const void* block) {
  return static_cast<char>(SecretFor(block) | 1);
}

}  // namespace

AtomicWord secret;

void Start() {
  if (LoadRelaxed(&secret) != 0) return;
  // 16 random bytes, of which the C library makes its own secrets. Whoever
  // comes first, the value is the same.
  const auto* random = reinterpret_cast<const char*>(getauxval(AT_RANDOM));
  uintptr_t words[2] = {1, 2};
  if (random != nullptr) memcpy(words, random, sizeof(words));
  const uintptr_t mixed =
      (words[0] * 0xD6E8FEB86659FD93u) ^ (words[1] * 0xCA5A826395121157u);
  StoreRelaxed(&secret, (mixed ^ mixed >> 29) | 1);
}

void Dress(void* block, size_t block_size, size_t size) {
  char* end = EndOf(block, block_size);
  char* behind = static_cast<char*>(block) + size;
  memset(behind, PatternFor(block), static_cast<size_t>(end - behind));
  const uintptr_t word = SecretFor(end) ^ (size * kCopies);
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

Block* Quarantine::Exchange(Block* block) {
  random_ = SecretFor(reinterpret_cast<void*>(random_ + 1));
  Block** slot = &blocks_[random_ % kPlaces];
  Block* leaving = *slot;
  Commit(slot, block);
  return leaving;
}

Block* Quarantine::Release() {
  for (Block*& slot : blocks_) {
    Block* leaving = slot;
    if (leaving == nullptr) continue;
    Commit<Block*>(&slot, nullptr);
    return leaving;
  }
  return nullptr;
}

}  // namespace aomalloc::hardening
