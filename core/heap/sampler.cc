#include "core/heap/sampler.h"

#include "core/heap/misuse.h"
#include "core/heap/slab.h"

namespace aomalloc {
namespace {

// True if another block follows a free block, as far as its link can be
// trusted.
bool IsFollowed(const Block* block) {
  return block->MayBeLinked() && block->Next() != nullptr;
}

}  // namespace

namespace sampler {

size_t Exponential(uint32_t x, size_t mean) {
  constexpr int kBits = 16;  // of a fixed-point fraction
  // log2(x + 1), bit by bit: squaring a number doubles its logarithm.
  const uint64_t value = uint64_t{x} + 1;
  const int whole = 63 - __builtin_clzl(value);
  uint64_t mantissa = value << (32 - whole);  // in [2^32, 2^33)
  uint64_t log2 = static_cast<uint64_t>(whole);
  for (int i = 0; i < kBits; ++i) {
    mantissa = mantissa * static_cast<unsigned __int128>(mantissa) >> 32;
    const uint64_t bit = mantissa >> 33;
    mantissa >>= bit;
    log2 = log2 << 1 | bit;
  }
  constexpr uint64_t kLn2 = 45426;  // 2^16 times ln 2
  const uint64_t negative = (uint64_t{32} << kBits) - log2;
  return static_cast<size_t>(
      static_cast<unsigned __int128>(negative * kLn2) * mean >> (2 * kBits));
}

}  // namespace sampler

Sampler::Sampler(uint64_t seed) : random_(seed | 1) {
  for (int i = 0; i < 8; ++i) Distance();  // away from a seed of few bits
  for (int i = 0; i < kNumClasses; ++i) IsDue(static_cast<SizeClass>(i));
  span_bytes_left_ = Distance();
}

// Bytes to the next sample.
size_t Sampler::Distance() {
  // xorshift64 (Marsaglia 2003), whose high bits are the better ones.
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return sampler::Exponential(static_cast<uint32_t>(random_ >> 32),
                              LoadRelaxed(&profile::mean_bytes));
}

Block* Sampler::Ration(SizeClass size_class, FreeList* list, int32_t count) {
  DropIfDamaged(&rations_[size_class]);
  Block* first = list->free;
  if (first == nullptr) return nullptr;
  const auto fit = static_cast<int32_t>(kRationBytes / ClassSize(size_class));
  const int32_t most = fit < kRationBlocks ? kRationBlocks : fit;
  uint32_t* left = &left_[size_class];
  int32_t taken = count > 2 * most ? most : count;
  // At least one block, even if a sample is due: there was no memory for the
  // sample.
  if (*left < static_cast<uint32_t>(taken)) {
    taken = *left < 1 ? 1 : static_cast<int32_t>(*left);
  }
  Block* last = nullptr;
  Block* rest = nullptr;
  if (taken < count) {
    last = first;
    // Up to a broken seal: malloc detects it when it gets there.
    for (int32_t i = 1; i < taken && IsFollowed(last); ++i) {
      last = last->Next();
    }
    if (IsFollowed(last)) rest = last->Next();
  }
  // They are free, and on no slab's list from here on (slab.h).
  for (Block* block = first; block != rest; block = block->Next()) {
    block->BearWitness();
    if (!IsFollowed(block)) break;
  }
  // Counted before the store: `used` of the slab may be too high if we are
  // abandoned in between, but never too low.
  list->used += taken;
  Commit(&list->free, rest);
  if (rest != nullptr) last->LinkTo(nullptr);
  FreeList* ration = &rations_[size_class];
  ration->used = -taken;
  *left -= *left < static_cast<uint32_t>(taken) ? *left
                                                : static_cast<uint32_t>(taken);
  Commit(&ration->free, first);
  return slab::Pop(ration);
}

Block* Sampler::TakeBack(SizeClass size_class) {
  Block* block = slab::Pop(&rations_[size_class]);
  if (block != nullptr) {
    ++left_[size_class];
  } else {
    DropIfDamaged(&rations_[size_class]);
  }
  return block;
}

bool Sampler::IsDue(SizeClass size_class) {
  if (left_[size_class] > 0) return false;
  const size_t blocks = Distance() / ClassSize(size_class);
  left_[size_class] =
      blocks < UINT32_MAX ? static_cast<uint32_t>(blocks) : UINT32_MAX;
  return true;
}

bool Sampler::IsSpanDue(size_t bytes) {
  if (bytes <= span_bytes_left_) {
    span_bytes_left_ -= bytes;
    return false;
  }
  span_bytes_left_ = Distance();
  return true;
}

size_t Sampler::Bytes() const {
  size_t bytes = 0;
  for (int i = 0; i < kNumClasses; ++i) {
    const int32_t used = Glance(rations_[i].used);
    if (used < 0) bytes += static_cast<size_t>(-used) * ClassSize(i);
  }
  return bytes;
}

}  // namespace aomalloc
