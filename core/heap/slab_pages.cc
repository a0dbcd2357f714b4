#include "core/heap/slab_pages.h"

namespace aomalloc::slab {
namespace {

// What a slab has in use at most for IsSparse, in pages that the blocks would
// take if each began with a page.
constexpr size_t kFewPages = 20;
// The most blocks of a slab for IsSparse: it takes time to follow the list.
constexpr size_t kMostToFollow = 1024;

constexpr uint8_t kManyFrees = 64;

// For each page: how many of the blocks that overlap it were not found free.
class Missing {
 public:
  explicit Missing(const Run* slab) : slab_(slab) {
    const size_t size = BlockSize(slab);
    for (size_t page = 0; page < kMostPages; ++page) {
      const size_t begin = page * kPageBytes / size;
      size_t end = ((page + 1) * kPageBytes - 1) / size + 1;
      if (end > slab->capacity) end = slab->capacity;
      // Where not all is carved yet, or behind the last block, there is nothing
      // to be had.
      const bool counts = begin < end && end <= slab->carved;
      of_[page] = counts ? static_cast<uint16_t>(end - begin) : kNever;
    }
  }

  void Found(size_t index) {
    const size_t size = BlockSize(slab_);
    const size_t last = ((index + 1) * size - 1) / kPageBytes;
    for (size_t page = index * size / kPageBytes; page <= last; ++page) {
      --of_[page];
    }
  }

  Pages None() const {
    Pages pages = 0;
    for (size_t page = 0; page < kMostPages; ++page) {
      if (of_[page] == 0) pages = static_cast<Pages>(pages | 1u << page);
    }
    return pages;
  }

 private:
  // More than the blocks that overlap a page, twice.
  static constexpr uint16_t kNever = 0x8000;

  const Run* const slab_;
  uint16_t of_[kMostPages];
};

bool IsIn(Pages pages, const Run* slab, const Block* block) {
  const auto offset =
      static_cast<size_t>(reinterpret_cast<const char*>(block) - slab->base);
  return (pages >> (offset / kPageBytes) & 1) != 0;
}

// Has the list go on with `next` behind `last`, or begin with it if that is
// null.
void Relink(Run* slab, Block* last, Block* next) {
  if (last == nullptr) {
    Commit(&slab->list.free, next);
  } else {
    last->LinkTo(next);
    CompilerBarrier();
  }
}

}  // namespace

bool IsSparse(const Run* slab) {
  const size_t size = BlockSize(slab);
  const auto in_use = static_cast<size_t>(InUse(slab));
  return slab->capacity <= kMostToFollow &&
         in_use * ((size + kPageBytes - 1) / kPageBytes) <= kFewPages &&
         slab->carved * size >= kMostPages / 2 * kPageBytes;
}

Pages FreePages(const Run* slab) {
  Missing missing(slab);
  for (uint32_t pages = slab->purged_pages; pages != 0; pages &= pages - 1) {
    const BlocksOfPage blocks(slab, __builtin_ctz(pages));
    for (size_t i = blocks.begin; i < blocks.end; ++i) missing.Found(i);
  }
  // The slab has lain idle, and the list leads from line to line of memory: all
  // at once these lines come faster than one after the other.
  const size_t carved = slab->carved * BlockSize(slab);
  for (size_t at = 0; at < carved; at += BlockSize(slab)) {
    __builtin_prefetch(slab->base + at);
  }
  size_t count = 0;
  for (const Block* block = slab->list.free; block != nullptr;
       block = block->Next()) {
    const auto* address = reinterpret_cast<const char*>(block);
    const auto offset = static_cast<size_t>(address - slab->base);
    if (offset >= carved || !IsBlock(slab, address) || !block->MayBeLinked() ||
        ++count > slab->carved) {
      return 0;
    }
    missing.Found(BlockIndex(slab, address));
  }
  return missing.None();
}

void LeaveOut(Run* slab, Pages pages) {
  for (int page = 0; page < static_cast<int>(kMostPages); ++page) {
    if (BlocksOfPage(slab, page).Count() == 0) {
      pages = static_cast<Pages>(pages & ~(1u << page));
    }
  }
  if (pages == 0) return;
  Block* last = nullptr;
  bool is_gap = false;
  for (Block* block = slab->list.free; block != nullptr;) {
    Block* next = block->Next();
    if (IsIn(pages, slab, block)) {
      is_gap = true;
    } else {
      if (is_gap) Relink(slab, last, block);
      is_gap = false;
      last = block;
    }
    block = next;
  }
  if (is_gap) Relink(slab, last, nullptr);
  Commit<uint32_t>(&slab->carved_steps, 0);
  slab->checked = 0;
  Commit(&slab->purged_pages, static_cast<Pages>(slab->purged_pages | pages));
}

bool CarvePage(Run* slab) {
  const uint32_t pages = slab->purged_pages;
  if (pages == 0) return false;
  const BlocksOfPage blocks(slab, __builtin_ctz(pages));
  // Before the list. An operation that is abandoned in between loses the
  // blocks, but no block is carved twice.
  Commit(&slab->purged_pages, static_cast<Pages>(pages & (pages - 1)));
  UpdateSteps(slab);
  Enlist(slab, blocks.begin, blocks.end);
  return true;
}

void NoteFree(Run* slab) {
  if (slab->beyond != -1) return;  // malloc does not allocate from it
  if (++slab->checked < kManyFrees) return;
  slab->checked = 0;
  while (CarvePage(slab)) {
  }
  UpdateSteps(slab);  // an abandoned CarvePage may have left it
}

}  // namespace aomalloc::slab
