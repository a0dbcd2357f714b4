// The shadow model: what the program under test holds, and whether the
// allocator's answers agree with it.
//
// A slot holds a block, or a chain of blocks of one size. Every block is filled
// with a pattern, as far as it may be used, and looked at before it is given
// up: so that blocks that overlap, or contents that change, are noticed. One
// thread at a time is here (script.h).
#ifndef AOMALLOC_TEST_FUZZ_MODEL_H_
#define AOMALLOC_TEST_FUZZ_MODEL_H_

#include <stddef.h>
#include <stdint.h>

namespace fuzz {

// Says what is wrong and ends the process.
[[noreturn]] void Fail(const char* format, ...)
    __attribute__((format(printf, 1, 2)));

// A node of a chain: the start of its block.
struct Node {
  Node* next;
  uint64_t seal;
};

enum class Content : uint8_t {
  kNothing,
  kBlock,
  kChain,
  kInHand,  // of an operation that is going on
};

struct Slot {
  Content content;
  char* block;       // of a block
  size_t size;       // that was asked for, also for each block of a chain
  size_t usable;     // that may be used
  size_t alignment;  // that was asked for, or 0
  uint32_t seed;
  Node* chain;
};

// What the answers are judged by.
enum class Memory : uint8_t { kAmple, kMayRunOut };
extern Memory memory;

constexpr size_t kSlots = 32;
extern Slot slots[kSlots];

// A slot that is not in hand, `index` or one behind it; null if all are.
Slot* Find(size_t index);

// A block that a call for `size` bytes has returned, or null: does this fit
// what else there is? `error` is errno after the call. False for null.
bool CheckNew(void* block, size_t size, size_t alignment, int error);

// Puts a new block into a slot in hand, and fills it.
void Put(Slot* slot, void* block, size_t size, size_t alignment);

// The block's contents are what they were, in the first `size` bytes.
void CheckContents(const Slot* slot, size_t size);

// The first `size` bytes of a new block are zero; of large ones a part.
void CheckZero(const char* block, size_t size);

// A block becomes the first of a chain; and whether it is what it was.
void Seal(Slot* slot, Node* node);
void CheckSeal(const Slot* slot, const Node* node);

}  // namespace fuzz

#endif  // AOMALLOC_TEST_FUZZ_MODEL_H_
