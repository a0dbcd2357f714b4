#include "test/fuzz/model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test/fuzz/calls.h"

namespace fuzz {
namespace {

// What is filled of a block: this much of the beginning, and the end.
constexpr size_t kHead = 1024;
constexpr size_t kTail = 64;

// More than any machine has.
constexpr size_t kAbsurd = size_t{1} << 46;

uint32_t seeds;

char PatternAt(const Slot& slot, size_t i) {
  return static_cast<char>(size_t{slot.seed} * 31 + i * 7 + (i >> 8));
}

template <typename Visit>
void ForEachFilled(size_t usable, Visit visit) {
  for (size_t i = 0; i < usable && i < kHead; ++i) visit(i);
  const size_t tail = usable > kHead + kTail ? usable - kTail : kHead;
  for (size_t i = tail; i < usable; ++i) visit(i);
}

}  // namespace

Memory memory;
Slot slots[kSlots];

void Fail(const char* format, ...) {
  char line[300] = "fuzz: ";
  va_list arguments;
  va_start(arguments, format);
  const int prefix = static_cast<int>(strlen(line));
  const int length =
      prefix + vsnprintf(line + prefix, sizeof(line) - 20, format, arguments);
  va_end(arguments);
  line[length] = '\n';
  if (write(2, line, static_cast<size_t>(length) + 1) < 0) _exit(3);
  _exit(2);
}

Slot* Find(size_t index) {
  for (size_t i = 0; i < kSlots; ++i) {
    Slot* slot = &slots[(index + i) % kSlots];
    if (slot->content != Content::kInHand) return slot;
  }
  return nullptr;
}

bool CheckNew(void* block, size_t size, size_t alignment, int error) {
  if (block == nullptr) {
    if (error != ENOMEM) Fail("null for %zu bytes, errno %d", size, error);
    if (memory == Memory::kAmple && size < kAbsurd) {
      Fail("null for %zu bytes aligned to %zu", size, alignment);
    }
    return false;
  }
  if (size >= kAbsurd) Fail("%zu bytes were promised", size);
  if (reinterpret_cast<uintptr_t>(block) % alignment != 0) {
    Fail("%p is not aligned to %zu", block, alignment);
  }
  const size_t usable = fuzzed_malloc_usable_size(block);
  if (usable < size) Fail("%zu bytes usable of %zu", usable, size);
  const char* start = static_cast<char*>(block);
  for (const Slot& slot : slots) {
    if (slot.content == Content::kBlock && start < slot.block + slot.usable &&
        slot.block < start + usable) {
      Fail("block %p of %zu overlaps %p of %zu", block, usable,
           static_cast<void*>(slot.block), slot.usable);
    }
  }
  return true;
}

void Put(Slot* slot, void* block, size_t size, size_t alignment) {
  slot->block = static_cast<char*>(block);
  slot->size = size;
  slot->alignment = alignment;
  slot->usable = fuzzed_malloc_usable_size(block);
  slot->seed = ++seeds;
  ForEachFilled(slot->usable,
                [=](size_t i) { slot->block[i] = PatternAt(*slot, i); });
  slot->content = Content::kBlock;
}

void CheckContents(const Slot* slot, size_t size) {
  ForEachFilled(slot->usable, [=](size_t i) {
    if (i < size && slot->block[i] != PatternAt(*slot, i)) {
      Fail("block %p of %zu is overwritten at byte %zu",
           static_cast<void*>(slot->block), slot->size, i);
    }
  });
}

void CheckZero(const char* block, size_t size) {
  for (size_t i = 0; i < size; i += i < kHead ? 1 : size / 257 + 1) {
    if (block[i] != 0) Fail("byte %zu of %zu is not zero", i, size);
  }
}

void Seal(Slot* slot, Node* node) {
  node->next = slot->chain;
  node->seal = reinterpret_cast<uintptr_t>(node) ^ slot->seed;
  if (slot->size > sizeof(Node)) {
    reinterpret_cast<char*>(node)[slot->size - 1] =
        PatternAt(*slot, slot->size);
  }
  slot->chain = node;
}

void CheckSeal(const Slot* slot, const Node* node) {
  if (node->seal != (reinterpret_cast<uintptr_t>(node) ^ slot->seed) ||
      (slot->size > sizeof(Node) &&
       reinterpret_cast<const char*>(node)[slot->size - 1] !=
           PatternAt(*slot, slot->size))) {
    Fail("block %p of a chain of %zu is overwritten",
         static_cast<const void*>(node), slot->size);
  }
}

}  // namespace fuzz
