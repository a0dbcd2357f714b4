#include "core/heap/slab.h"

#include <numeric>

#include "core/arena/memory.h"

namespace aomalloc::slab {
namespace {

constexpr size_t kCarveBytes = 4096;

// So that BlockStart is exact, and the steps of a slab (IsCarved) come to less
// than a reciprocal.
static_assert(memory::kMappedUnitBytes <= (uint64_t{1} << 32) / kMaxSmall);

constexpr size_t LeastStaticUnits(size_t block_size) {
  return (block_size + memory::kStaticUnitBytes - 1) / memory::kStaticUnitBytes;
}

// The fewest pages of which at most a sixteenth is left over. More pages would
// tie up memory in classes that have few blocks.
constexpr size_t StaticUnits(size_t block_size) {
  size_t best = 1;
  size_t best_waste = ~size_t{0};
  for (size_t units = LeastStaticUnits(block_size); units <= 15; ++units) {
    const size_t bytes = units * memory::kStaticUnitBytes;
    const size_t waste = bytes % block_size * 1024 / bytes;
    if (waste < best_waste) {
      best = units;
      best_waste = waste;
    }
    if (waste <= 1024 / 16) break;
  }
  return best;
}

struct StaticUnitsTable {
  uint8_t units[kNumClasses];
};

constexpr StaticUnitsTable MakeStaticUnits() {
  StaticUnitsTable table{};
  for (int i = 0; i < kNumClasses; ++i) {
    table.units[i] = static_cast<uint8_t>(StaticUnits(ClassSize(i)));
  }
  return table;
}

constexpr StaticUnitsTable kStaticUnits = MakeStaticUnits();

// Links `count` blocks in an order that differs from process to process: with a
// stride that is chosen at random among those that visit each block once.
// Returns the first block.
[[maybe_unused]] Block* LinkInDisorder(char* first, size_t size, size_t count,
                                       Block* last) {
  const uintptr_t random = hardening::SecretFor(first);
  size_t stride = 1 + (random >> 16) % count;
  while (std::gcd(stride, count) != 1) ++stride;
  Block* next = last;
  size_t index = random % count;
  for (size_t i = 0; i < count; ++i) {
    auto* block = reinterpret_cast<Block*>(first + index * size);
    block->LinkTo(next);
    next = block;
    index = (index + stride) % count;
  }
  return next;
}

// What all slabs begin with.
void Start(Run* slab) {
  slab->next = nullptr;
  slab->prev = nullptr;
  slab->list.used = 0;
  slab->beyond = 0;
  slab->listed = false;
  slab->checked = 0;
  slab->purged_pages = 0;
  slab->drained = 0;
  slab->span_bytes = 0;
  slab->seen_at = 0;
  slab->seen_in_use = 0;
}

// True if the first few free blocks lie one behind the other, in either
// direction.
bool IsInOrder(const Run* slab) {
  constexpr int kLooks = 4;
  const size_t size = BlockSize(slab);
  const Block* block = slab->list.free;
  for (int i = 0; i < kLooks && block != nullptr; ++i) {
    if (!block->MayBeLinked()) return false;
    const Block* next = block->Next();
    const auto distance =
        static_cast<size_t>(reinterpret_cast<const char*>(next) -
                            reinterpret_cast<const char*>(block));
    if (next != nullptr && distance != size && distance != 0 - size) {
      return false;
    }
    block = next;
  }
  return true;
}

// Not 0 once DropDamaged has emptied a list, whose blocks are free and on none.
// Relaxed: who frees one of them once more sees the word if it sees the first
// free, and otherwise the two race.
AtomicWord dropped;

// True if a block of the slab starts at `block`, any address.
bool IsIn(const Run* slab, const Block* block) {
  const auto offset =
      static_cast<size_t>(reinterpret_cast<const char*>(block) - slab->base);
  return offset < slab->capacity * BlockSize(slab) && IsBlock(slab, block);
}

enum class Listed { kYes, kNo, kUnknown };

// Looks for a block on the slab's list. Another thread may change the list
// meanwhile. A block that is on it during all of the walk is found, or the walk
// comes to a block that was taken off, whose link is cleared: kUnknown.
Listed LookFor(const Run* slab, const Block* block) {
  const Block* listed = Glance(slab->list.free);
  for (int i = 0; listed != nullptr && i < slab->capacity; ++i) {
    if (listed == block) return Listed::kYes;
    if (!IsIn(slab, listed) || !listed->MayBeLinked()) return Listed::kUnknown;
    listed = listed->Next();
  }
  return listed == nullptr ? Listed::kNo : Listed::kUnknown;
}

// For a block without a witness that has a sealed link. False if it is on no
// list. If the list's owner uses it all the time, many a walk comes to no
// result. But if none does, the list is damaged, as far as one can know.
bool MayBeListed(const Run* slab, const Block* block) {
  constexpr int kMostWalks = 1000;
  // It may be in a quarantine, or lost.
  if (hardening::kOn || LoadRelaxed(&dropped) != 0) return true;
  Listed listed = Listed::kUnknown;
  for (int i = 0; i < kMostWalks && listed == Listed::kUnknown; ++i) {
    listed = LookFor(slab, block);
    CompilerBarrier();  // or the list might not be read anew
  }
  return listed != Listed::kNo;
}

}  // namespace

size_t StaticBytes(SizeClass size_class) {
  return kStaticUnits.units[size_class] * memory::kStaticUnitBytes;
}

size_t LeastStaticBytes(SizeClass size_class) {
  return LeastStaticUnits(ClassSize(size_class)) * memory::kStaticUnitBytes;
}

void Init(Run* slab, size_t bytes, SizeClass size_class) {
  const size_t size = ClassSize(size_class);
  slab->list.free = nullptr;
  slab->carved = 0;
  slab->capacity = static_cast<uint16_t>(bytes / size);
  slab->block_granules = static_cast<uint16_t>(size / kGranule);
  slab->size_class = size_class;
  slab->reciprocal = internal::kReciprocals.of[size_class];
  slab->carved_steps = 0;
  Start(slab);
}

bool Revive(Run* run, SizeClass size_class) {
  // Of a span `span_bytes` is not 0.
  if (hardening::kOn || run->carved == 0 || run->span_bytes != 0 ||
      run->size_class != size_class || !IsInOrder(run)) {
    return false;
  }
  Start(run);
  UpdateSteps(run);
  return true;
}

void UpdateSteps(Run* slab) {
  const auto size = static_cast<uint32_t>(BlockSize(slab));
  slab->carved_steps =
      slab->purged_pages != 0 ? 0 : slab->carved * (slab->reciprocal * size);
}

bool Carve(Run* slab) {
  const size_t left = static_cast<size_t>(slab->capacity - slab->carved);
  if (left == 0) return false;
  size_t count = kCarveBytes / BlockSize(slab);
  if (count == 0) count = 1;
  if (count > left) count = left;
  const size_t begin = slab->carved;
  // Counted first. An operation that is abandoned in between loses these
  // blocks, which Repair then counts as in use. But no block is carved twice.
  slab->carved = static_cast<uint16_t>(begin + count);
  UpdateSteps(slab);
  Enlist(slab, begin, begin + count);
  return true;
}

void Enlist(Run* slab, size_t begin, size_t end) {
  const size_t size = BlockSize(slab);
  char* first = slab->base + begin * size;
  Block* head = nullptr;
  if constexpr (hardening::kOn) {
    head = LinkInDisorder(first, size, end - begin, slab->list.free);
  } else {
    char* last = slab->base + (end - 1) * size;
    for (char* block = first; block != last; block += size) {
      reinterpret_cast<Block*>(block)->LinkTo(
          reinterpret_cast<Block*>(block + size));
    }
    reinterpret_cast<Block*>(last)->LinkTo(slab->list.free);
    head = reinterpret_cast<Block*>(first);
  }
  Commit(&slab->list.free, head);
}

size_t CountIn(Pages pages, size_t size, size_t capacity) {
  size_t count = 0;
  for (uint32_t left = pages; left != 0; left &= left - 1) {
    count += BlocksOfPage(size, capacity, __builtin_ctz(left)).Count();
  }
  return count;
}

bool IsBlockSlow(const Run* slab, const void* address) {
  return slab->kind == RunKind::kSlab &&
         BlockIndex(slab, address) < Glance(slab->carved) &&
         BlockStart(slab, address) == address && !IsLeftOut(slab, address);
}

const Block* DropDamaged(FreeList* list) {
  const Block* first = list->free;
  if (first == nullptr || first->MayBeLinked()) return nullptr;
  StoreRelaxed(&dropped, 1);
  Commit<Block*>(&list->free, nullptr);
  return first;
}

size_t CountFree(const Run* slab) {
  size_t count = 0;
  const Block* block = slab->list.free;
  // Not beyond a block that a program has written to.
  while (block != nullptr && block->MayBeLinked() && count < slab->carved) {
    block = block->Next();
    ++count;
  }
  return count;
}

bool IsSealed(const Run* slab, const Block* block) {
  const Block* next = block->Next();
  if (!block->BearsWitness()) {
    return block->IsInBatch() ||
           ((next == nullptr || IsIn(slab, next)) && MayBeListed(slab, block));
  }
  if (next == nullptr) return true;
  // A live block that was a batch before may still bear the witness. If the
  // program's data look like a link, too, that link must lead to a block.
  const Run* to = memory::RunAt(next);
  return to != nullptr && to->kind == RunKind::kSlab && IsIn(to, next);
}

bool IsValid(const Run* slab) {
  if (slab->kind != RunKind::kSlab || slab->carved > slab->capacity ||
      slab->block_granules * kGranule != ClassSize(slab->size_class)) {
    return false;
  }
  size_t free = 0;
  for (const Block* block = slab->list.free; block != nullptr;
       block = block->Next()) {
    const char* address = reinterpret_cast<const char*>(block);
    if (address < slab->base ||
        address >= slab->base + slab->carved * BlockSize(slab) ||
        BlockStart(slab, address) != address || IsLeftOut(slab, address) ||
        ++free > slab->carved) {
      return false;
    }
  }
  if (slab->purged_pages != 0 && slab->carved_steps != 0) return false;
  free += static_cast<size_t>(LeftOut(slab));
  // "At most", because a block that an abandoned operation had in hand may be
  // neither in use nor free.
  return InUse(slab) >= 0 &&
         static_cast<size_t>(InUse(slab)) + free <= slab->carved;
}

}  // namespace aomalloc::slab
