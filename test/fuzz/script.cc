#include "test/fuzz/script.h"

#include <errno.h>

#include "test/fuzz/calls.h"
#include "test/fuzz/heap.h"
#include "test/fuzz/model.h"
#include "test/fuzz/threads.h"

namespace fuzz {
namespace {

const uint8_t* next;
const uint8_t* end;
bool lost;  // an operation was abandoned: some memory is gone

// Bytes in a chain.
constexpr size_t kMaxChain = size_t{512} << 10;

bool AtEnd() { return next == end; }
uint8_t Byte() { return AtEnd() ? 0 : *next++; }

// Every order of magnitude up to 8 MiB, and what nobody has.
size_t Size() {
  const size_t mantissa = Byte();
  const size_t rest = Byte();
  if (rest == 0xff) {
    return mantissa % 2 == 0 ? SIZE_MAX - mantissa * 64
                             : PTRDIFF_MAX - mantissa * 64;
  }
  return (mantissa << (rest & 15)) + (rest >> 4);
}

// Calls the library, and has the call interrupted if the script wants it.
template <typename F>
auto Call(F f) {
  errno = EPERM;
  BeginInterruptible();
  const auto result = f();
  EndInterruptible();
  return result;
}

void FreeBlock(Slot* slot, size_t how) {
  CheckContents(slot, slot->usable);
  const Slot old = *slot;
  slot->content = Content::kInHand;
  Call([&] {
    switch (how % 4) {
      case 0:
        fuzzed_cfree(old.block);
        break;
      case 1:
        if (old.alignment == 0) {
          fuzzed_free_sized(old.block, old.size);
        } else {
          fuzzed_free_aligned_sized(old.block, old.alignment, old.size);
        }
        break;
      default:
        fuzzed_free(old.block);
    }
    return 0;
  });
  if (errno != EPERM) Fail("free changed errno to %d", errno);
  slot->content = Content::kNothing;
}

Node* FreeNode(const Slot* slot, Node* node) {
  CheckSeal(slot, node);
  Node* after = node->next;
  Call([=] { return fuzzed_free(node), 0; });
  return after;
}

// In the order of the chain, or every other one first.
void FreeChain(Slot* slot, bool alternating) {
  slot->content = Content::kInHand;
  if (alternating) {
    for (Node* n = slot->chain; n != nullptr && n->next != nullptr;
         n = n->next) {
      CheckSeal(slot, n);
      n->next = FreeNode(slot, n->next);
    }
  }
  for (Node* n = slot->chain; n != nullptr;) n = FreeNode(slot, n);
  slot->content = Content::kNothing;
}

void FreeContent(Slot* slot, size_t how) {
  if (slot->content == Content::kBlock) FreeBlock(slot, how);
  if (slot->content == Content::kChain) FreeChain(slot, how % 2 != 0);
}

// Takes a slot in hand that is empty, or becomes so. Null if there is none.
Slot* EmptySlot() {
  const size_t index = Byte();
  Slot* slot = Find(index);
  // A handler may take the slot while its content is freed.
  while (slot != nullptr && slot->content != Content::kNothing) {
    FreeContent(slot, index);
    if (slot->content != Content::kNothing) slot = Find(index);
  }
  if (slot != nullptr) slot->content = Content::kInHand;
  return slot;
}

// What a call for a new block has returned goes into the slot.
void Settle(Slot* slot, void* block, size_t size, size_t alignment) {
  const size_t expected = alignment == 0 ? 16 : alignment;
  if (CheckNew(block, size, expected, errno)) {
    Put(slot, block, size, alignment);
  } else {
    slot->content = Content::kNothing;
  }
}

void Malloc() {
  Slot* slot = EmptySlot();
  const size_t size = Size();
  if (slot == nullptr) return;
  Settle(slot, Call([=] { return fuzzed_malloc(size); }), size, 0);
}

void Calloc() {
  Slot* slot = EmptySlot();
  const size_t size = Size();
  if (slot == nullptr) return;
  void* block = Call([=] { return fuzzed_calloc(size, 1); });
  if (block != nullptr) CheckZero(static_cast<char*>(block), size);
  Settle(slot, block, size, 0);
}

void Aligned() {
  Slot* slot = EmptySlot();
  const size_t choice = Byte();
  const size_t size = Size();
  if (slot == nullptr) return;
  size_t alignment = size_t{16} << (choice & 31) % 17;
  void* block = nullptr;
  switch (choice >> 5) {
    case 0:
      block = Call([=] { return fuzzed_memalign(alignment, size); });
      break;
    case 1: {
      const int error = Call([=, &block] {
        return fuzzed_posix_memalign(&block, alignment, size);
      });
      errno = error;
      break;
    }
    case 2:
      alignment = 4096;
      block = Call([=] { return fuzzed_valloc(size); });
      break;
    case 3:
      alignment = 4096;
      block = Call([=] { return fuzzed_pvalloc(size); });
      break;
    default:
      block = Call([=] { return fuzzed_aligned_alloc(alignment, size); });
  }
  Settle(slot, block, size, alignment);
}

void Realloc() {
  const size_t index = Byte();
  const size_t size = Size();
  Slot* slot = Find(index);
  if (slot == nullptr) return;
  if (slot->content == Content::kChain) return FreeChain(slot, false);
  Slot old = *slot;
  if (old.content == Content::kNothing) old.block = nullptr;
  if (old.block != nullptr) CheckContents(slot, slot->usable);
  slot->content = Content::kInHand;
  void* block = Call([=] {
    return index < 128 ? fuzzed_realloc(old.block, size)
                       : fuzzed_reallocarray(old.block, size, 1);
  });
  if (old.block != nullptr && size == 0) {
    if (block != nullptr) Fail("realloc to 0 gave %p", block);
    slot->content = Content::kNothing;
    return;
  }
  if (old.block == nullptr) return Settle(slot, block, size, 0);
  *slot = old;
  if (block == nullptr) {
    slot->content = Content::kInHand;
    CheckNew(block, size, 16, errno);
    CheckContents(slot, old.usable);
    slot->content = Content::kBlock;
    return;
  }
  slot->content = Content::kInHand;
  slot->block = static_cast<char*>(block);
  CheckNew(block, size, 16, errno);
  CheckContents(slot, size < old.usable ? size : old.usable);
  Put(slot, block, size, 0);
}

void Chain() {
  Slot* slot = EmptySlot();
  const size_t wanted = 4 * (size_t{Byte()} + 1);
  const size_t size = Size() % 8192 + sizeof(Node);
  const size_t count = wanted * size < kMaxChain ? wanted : kMaxChain / size;
  if (slot == nullptr) return;
  slot->chain = nullptr;
  slot->size = size;
  slot->seed = static_cast<uint32_t>(count);
  for (size_t i = 0; i < count; ++i) {
    void* block = Call([=] { return fuzzed_malloc(size); });
    if (!CheckNew(block, size, 16, errno)) break;
    Seal(slot, static_cast<Node*>(block));
  }
  slot->content = Content::kChain;
}

void Free() {
  const size_t index = Byte();
  Slot* slot = Find(index);
  if (slot != nullptr) FreeContent(slot, index >> 5);
}

void Look() {
  Slot* slot = Find(Byte());
  if (slot == nullptr || slot->content != Content::kBlock) return;
  CheckContents(slot, slot->usable);
  const Slot old = *slot;
  slot->content = Content::kInHand;
  const size_t usable =
      Call([=] { return fuzzed_malloc_usable_size(old.block); });
  if (usable != old.usable) Fail("%zu usable, then %zu", old.usable, usable);
  slot->content = Content::kBlock;
}

void Trim() {
  Call([] { return fuzzed_malloc_trim(0); });
}

void Count() {
  const struct mallinfo2 info = Call([] { return fuzzed_mallinfo2(); });
  if (info.uordblks > info.arena) {
    Fail("%zu bytes in use of %zu", info.uordblks, info.arena);
  }
}

void EnableMmap() {
  Call([] { return AO_malloc_enable_mmap(), 0; });
}

void Interrupt() {
  // Most often in what is short.
  const int low = Byte();
  const int high = Byte();
  const int steps = low << (high & 3) | (high >> 4 & 7);
  InterruptAfter(Byte() % 64, steps + 1);
}

// Runs what the script says until there is no more, or until it leaves the
// handler that this is called from.
void RunCalls() {
  while (!AtEnd()) {
    switch (Byte() % 16) {
      case 0:
      case 1:
        Malloc();
        break;
      case 2:
        Calloc();
        break;
      case 3:
        Aligned();
        break;
      case 4:
        Realloc();
        break;
      case 5:
        Chain();
        break;
      case 6:
        Free();
        break;
      case 7:
        Look();
        break;
      case 8:
        Trim();
        break;
      case 9:
        Count();
        break;
      case 10:
        EnableMmap();
        break;
      case 11:
        LetTheOtherGoOn();
        break;
      case 12:
        if (!InHandler()) return EndThread();
        break;
      case 13:
        Interrupt();
        break;
      case 14:
        if (InHandler()) return;
        break;
      case 15:
        if (!InHandler()) break;
        lost = true;
        LeaveForGood();
    }
  }
}

}  // namespace

void Run(const uint8_t* script, size_t length) {
  next = script;
  end = script + length;
  ChooseHeap(Byte());
  RunThreads(RunCalls);
  for (Slot& slot : slots) FreeContent(&slot, 2);
  if (!lost) CheckThatHeapIsEmpty();
}

}  // namespace fuzz
