#include "test/signal_storms/blocks.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

namespace storms {
namespace {

// In `state`; from kInHand on it says whose hand, as an index of `workers`.
enum { kEmpty, kFull, kInHand };

struct Slot {
  std::atomic<int> state;
  void* block;
  size_t size;
  uint64_t seed;
};

constexpr size_t kSlots = 1024;
constexpr size_t kStaticSlots = 256;  // what 2 MiB have room for
// Each worker comes here half of the time, to meet its own blocks.
constexpr size_t kOwnSlots = 32;
constexpr size_t kMaxBurst = 32;
constexpr int kBurstCalls = 64;

Slot table[kSlots];

void NoteInside(size_t size) { me->inside = size; }
void NoteOutside() { me->inside = 0; }

// Calls the allocator.
template <typename F>
auto Call(size_t size, F f) {
  errno = 0;
  hooks.before(size);
  const auto result = f();
  hooks.after();
  return result;
}

size_t NumSlots() { return may_run_out ? kStaticSlots : kSlots; }

bool Claim(Slot* slot, int state) {
  return slot->state.compare_exchange_strong(
      state, kInHand + static_cast<int>(me - workers));
}

// A slot of either state, which is then in hand; null if all that were tried
// are in somebody else's.
Slot* ClaimAny(Random* random, bool* is_full) {
  for (int i = 0; i < 8; ++i) {
    size_t index = random->Below(NumSlots());
    if (random->Below(2) == 0) {
      const size_t own = static_cast<size_t>(me - workers) * kOwnSlots;
      index = (own + index % kOwnSlots) % NumSlots();
    }
    *is_full = table[index].state == kFull;
    if (Claim(&table[index], *is_full ? kFull : kEmpty)) return &table[index];
  }
  return nullptr;
}

// The bytes of a pattern from 8 * `i` on.
uint64_t PatternAt(uint64_t seed, size_t i) {
  return seed + i * 0x9E3779B97F4A7C15u;
}

void Fill(void* block, size_t size, uint64_t seed) {
  auto* words = static_cast<uint64_t*>(block);
  const size_t count = size / sizeof(uint64_t);
  for (size_t i = 0; i < count; ++i) words[i] = PatternAt(seed, i);
  const uint64_t last = PatternAt(seed, count);
  memcpy(words + count, &last, size % sizeof(uint64_t));
}

// How many bytes of a block are as they should be, up to a word.
size_t CountFilled(const void* block, size_t size, uint64_t seed) {
  const auto* words = static_cast<const uint64_t*>(block);
  const size_t count = size / sizeof(uint64_t);
  for (size_t i = 0; i < count; ++i) {
    if (words[i] != PatternAt(seed, i)) return i * sizeof(uint64_t);
  }
  const uint64_t last = PatternAt(seed, count);
  return memcmp(words + count, &last, size % sizeof(uint64_t)) == 0
             ? size
             : count * sizeof(uint64_t);
}

void CheckPattern(const Slot* slot, size_t size) {
  const size_t filled = CountFilled(slot->block, size, slot->seed);
  if (filled != size) {
    Fail("a block of %zu bytes at %p is overwritten at byte %zu", slot->size,
         slot->block, filled);
  }
}

// Puts a block into a slot in hand.
void Put(Slot* slot, void* block, size_t size, Random* random) {
  slot->block = block;
  slot->size = size;
  slot->seed = random->Next();
  Fill(block, size, slot->seed);
  slot->state.store(kFull, std::memory_order_release);
}

void Empty(Slot* slot) { slot->state.store(kEmpty, std::memory_order_release); }

// What to do about a null pointer.
void Refused(size_t size, int error) {
  if (!may_run_out) Fail("no memory for %zu bytes (errno %d)", size, error);
  if (error != ENOMEM) Fail("null, but errno is %d", error);
  ++me->refused;
}

size_t RandomSize(Random* random) {
  const size_t of_thousand = random->Below(1000);
  size_t limit = size_t{4} << 20;
  if (of_thousand < 998) limit = size_t{256} << 10;
  if (of_thousand < 990 || may_run_out) limit = size_t{32} << 10;
  if (of_thousand < 900) limit = may_run_out ? 256 : 1024;
  if (limit > limits.size) limit = limits.size;
  return 1 + random->Below(limit);
}

size_t RandomAlignment(Random* random) {
  return size_t{16} << random->Below(
             random->Below(20) == 0 && !may_run_out ? 14 : 9);
}

void CheckZero(const void* block, size_t size) {
  const auto* bytes = static_cast<const char*>(block);
  if (bytes[0] != 0 || memcmp(bytes, bytes + 1, size - 1) != 0) {
    Fail("calloc gave %zu bytes at %p that are not zero", size, block);
  }
}

// A new block from one of the functions that give one.
void Allocate(Slot* slot, Random* random) {
  const size_t size = RandomSize(random);
  // Some libraries align what is smaller than 16 to 8 only.
  size_t alignment = size < 16 ? 8 : 16;
  void* block = nullptr;
  switch (random->Below(12)) {
    case 0:
    case 1:
      block = Call(size, [=] { return calloc(1, size); });
      if (block != nullptr) CheckZero(block, size);
      break;
    case 2:
      alignment = RandomAlignment(random);
      block = Call(size, [=] { return aligned_alloc(alignment, size); });
      break;
    case 3:
      alignment = RandomAlignment(random);
      block = Call(size, [=] { return memalign(alignment, size); });
      break;
    case 4:
      alignment = RandomAlignment(random);
      errno = Call(size, [=, &block] {
        return posix_memalign(&block, alignment, size);
      });
      break;
    case 5:
      block = Call(size, [=] { return reallocarray(nullptr, 1, size); });
      break;
    default:
      block = Call(size, [=] { return malloc(size); });
  }
  if (block == nullptr) {
    Refused(size, errno);
    return Empty(slot);
  }
  if (reinterpret_cast<uintptr_t>(block) % alignment != 0) {
    Fail("%p is not aligned to %zu", block, alignment);
  }
  Put(slot, block, size, random);
}

void Release(Slot* slot) {
  CheckPattern(slot, slot->size);
  Call(slot->size, [=] { return free(slot->block), 0; });
  Empty(slot);
}

void Resize(Slot* slot, Random* random) {
  CheckPattern(slot, slot->size);
  const size_t size = RandomSize(random);
  void* block = Call(size, [=] { return realloc(slot->block, size); });
  if (block == nullptr) {
    Refused(size, errno);
    slot->state.store(kFull, std::memory_order_release);
    return;
  }
  slot->block = block;
  CheckPattern(slot, size < slot->size ? size : slot->size);
  Put(slot, block, size, random);
}

void LookAtSize(Slot* slot) {
  const size_t usable =
      Call(slot->size, [=] { return malloc_usable_size(slot->block); });
  if (usable < slot->size) {
    Fail("a block of %zu bytes has %zu", slot->size, usable);
  }
  slot->state.store(kFull, std::memory_order_release);
}

// Takes blocks of one size and gives them back, with little else in between.
void Burst(Random* random) {
  void** held[kMaxBurst];
  size_t num_held = 0;
  const size_t size = sizeof(void*) + random->Below(256);
  for (int calls = 0; calls < kBurstCalls || num_held > 0; ++calls) {
    if (calls < kBurstCalls &&
        (num_held == 0 || (num_held < limits.burst && random->Below(2) == 0))) {
      void* block = Call(size, [=] { return malloc(size); });
      if (block == nullptr) {
        Refused(size, errno);
        calls = kBurstCalls;
        continue;
      }
      held[num_held] = static_cast<void**>(block);
      *held[num_held++] = block;
    } else {
      void** block = held[--num_held];
      if (*block != block) {
        Fail("a block of %zu bytes at %p is overwritten", size,
             static_cast<void*>(block));
      }
      Call(size, [=] { return free(block), 0; });
    }
  }
}

}  // namespace

Hooks hooks = {NoteInside, NoteOutside};
Limits limits = {SIZE_MAX, kMaxBurst};

const bool may_run_out = [] {
  const char* enabled = getenv("AO_MALLOC_ENABLE_MMAP");
  return enabled == nullptr || *enabled != '1' ||
         getenv("AO_MALLOC_LIMIT") != nullptr;
}();

void Operate(Random* random) {
  if (random->Below(2) == 0) Burst(random);
  bool is_full;
  Slot* slot = ClaimAny(random, &is_full);
  if (slot == nullptr) return;
  if (!is_full) {
    Allocate(slot, random);
  } else if (random->Below(4) == 0) {
    Resize(slot, random);
  } else if (random->Below(16) == 0) {
    LookAtSize(slot);
  } else {
    Release(slot);
  }
  if (random->Below(4000) == 0) Call(1, [] { return malloc_trim(0); });
  if (random->Below(1000) == 0) Call(1, [] { return mallinfo2().arena; });
  ++me->operations;
}

void TakeTwoKeepOne(Random* random, size_t size) {
  bool is_full;
  Slot* slot = ClaimAny(random, &is_full);
  if (slot == nullptr) return;
  if (is_full) return slot->state.store(kFull, std::memory_order_release);
  void* first = Call(size, [=] { return malloc(size); });
  void* second = Call(size, [=] { return malloc(size); });
  const int error = errno;
  Call(size, [=] { return free(first), 0; });
  if (second == nullptr) {
    Refused(size, error);
    return Empty(slot);
  }
  Put(slot, second, size, random);
  ++me->operations;
}

void FreeAll() {
  for (Slot& slot : table) {
    if (Claim(&slot, kFull)) Release(&slot);
  }
}

int ForgetThoseOf(const Worker* gone) {
  int count = 0;
  for (Slot& slot : table) {
    if (slot.state != kInHand + static_cast<int>(gone - workers)) continue;
    Empty(&slot);
    ++count;
  }
  return count;
}

}  // namespace storms
