// Arenas: units are taken, used, returned, purged and unmapped, by several
// threads.
#include "core/arena/arena.h"

#include "core/base/os_memory.h"
#include "test/weak/cases.h"
#include "test/weak/system.h"

namespace aomalloc::weak {
namespace {

constexpr size_t kUnits = 128;
constexpr int kShift = 4;
constexpr int kBound = 2;

// What a thread has of an arena.
void Use(Run* run, int thread) {
  for (uint32_t i = 0; i < run->units; ++i) {
    auto* data = reinterpret_cast<AO_t*>(run->base + (size_t{i} << kShift));
    Expect(data[1] == 0, "somebody else uses the unit");
    data[0] = data[1] = static_cast<AO_t>(thread);
  }
  run->kind = RunKind::kSpan;
  run->size_class = static_cast<SizeClass>(thread);
}

void Leave(Run* run) {
  for (uint32_t i = 0; i < run->units; ++i) {
    auto* data = reinterpret_cast<AO_t*>(run->base + (size_t{i} << kShift));
    data[1] = 0;
  }
}

// Runs that overlap, and lie in two words of bits.
class TakeCase : public Case {
 public:
  TakeCase() : Case("arena, take and return", 3, 0, kBound) {}
  void SetUp() override {
    Bitmap bits(used_);
    bits.Set(0, 62);
    bits.Set(66, kUnits - 66);
  }
  void Run(int thread) override {
    const Arena::Taken taken = arena_.Take(thread == 3 ? 1 : 3, 1);
    if (taken.run == nullptr) return;
    Use(taken.run, thread);
    Leave(taken.run);
    arena_.Return(taken.run, true);
  }
  void Check() override {
    for (size_t unit = 62; unit < 66; ++unit) {
      Expect(!arena_.InUse(unit), "a unit is lost");
    }
  }

 private:
  char memory_[kUnits << kShift] = {};
  aomalloc::Run table_[kUnits] = {};
  AtomicWord used_[kUnits / 64] = {};
  AtomicWord dirty_[kUnits / 64] = {};
  alignas(64) AtomicWord hints_[Arena::HintsFor(kUnits)] = {};
  Arena arena_{memory_, kUnits, kShift, table_, used_, dirty_, hints_, kUnits};
};

// Units are purged while others take and return them. A unit that is said to be
// zero is.
class PurgeCase : public Case {
 public:
  PurgeCase() : Case("arena, purge", 3, 0, kBound) {}
  void SetUp() override {
    system_.Use();
    Bitmap(used_).Set(0, 62);
    Bitmap(used_).Set(64, 64);
  }
  void Run(int thread) override {
    if (thread == 1) return arena_.PurgeExcess(0);
    const Arena::Taken taken = arena_.Take(1, 1);
    if (taken.run == nullptr) return;
    const auto* data = reinterpret_cast<const AO_t*>(taken.run->base);
    Expect(!taken.zeroed || data[0] == 0, "it is said to be zero");
    Use(taken.run, thread);
    Leave(taken.run);
    arena_.Return(taken.run, true);
  }
  void Check() override {
    Expect(!arena_.InUse(62) && !arena_.InUse(63), "a unit is lost");
    Expect(arena_.dirty_units() ==
               size_t{arena_.IsDirty(62)} + size_t{arena_.IsDirty(63)},
           "the count of dirty units is wrong");
    for (size_t unit = 62; unit < 64; ++unit) {
      const auto* data =
          reinterpret_cast<const AO_t*>(memory_ + (unit << kShift));
      Expect(arena_.IsDirty(unit) || data[0] == 0, "a dirty unit is clean");
    }
  }

 private:
  System system_;
  char memory_[kUnits << kShift] = {};
  aomalloc::Run table_[kUnits] = {};
  AtomicWord used_[kUnits / 64] = {};
  AtomicWord dirty_[kUnits / 64] = {};
  alignas(64) AtomicWord hints_[Arena::HintsFor(kUnits)] = {};
  Arena arena_{memory_, kUnits, kShift, table_, used_, dirty_, hints_};
};

// An arena that grows where it is, behind chunks that somebody else has.
class GrowthCase : public Case {
 public:
  GrowthCase(const char* name, int threads, size_t first)
      : Case(name, threads, 0, kBound), first_(first) {}
  void SetUp() override {
    system_.Use();
    Bitmap(claimed_).Set(0, first_);
    os::FillHole(table_, Growth::kTableUnits * sizeof(aomalloc::Run));
  }

 protected:
  static constexpr size_t kMost = 2 * Growth::kLargeTableUnits;
  static constexpr uintptr_t kTable = uintptr_t{1} << 45;
  static constexpr uintptr_t kBase = uintptr_t{1} << 46;
  void TakeAndUse(int thread, size_t count, bool returns) {
    const Arena::Taken taken = arena_.Take(count, 1);
    // Somebody else may be about to say that the table has grown.
    if (taken.run == nullptr) return;
    Expect(arena_.Owns(taken.run), "it is not in the arena");
    StoreRelaxed(&taken.run->owner, 0);  // the first word of the descriptor
    Use(taken.run, thread);
    if (!returns) return;
    Leave(taken.run);
    arena_.Return(taken.run, false);
  }

  const size_t first_;
  System system_;
  aomalloc::Run* const table_ = reinterpret_cast<aomalloc::Run*>(kTable);
  char* const base_ = reinterpret_cast<char*>(kBase);
  AtomicWord claimed_[kMost / 64 / 64] = {};
  AtomicWord mapped_[kMost / 64 / 64] = {};
  AtomicWord used_[kMost / 64] = {};
  AtomicWord dirty_[kMost / 64] = {};
  AtomicWord asked_[kMost / 32 / 64] = {};
  AtomicWord huge_[kMost / 32 / 64] = {};
  HugePages huge_pages_{base_, asked_, huge_};
  Growth growth_{base_, kShift, table_, kMost, claimed_, mapped_, &huge_pages_};
  alignas(64) AtomicWord hints_[Arena::HintsFor(kMost)] = {};
  Arena arena_{base_, kMost, kShift, table_, used_, dirty_, hints_, &growth_};
};

// Two threads grow it, as far as the table goes and further.
class GrowCase : public GrowthCase {
 public:
  GrowCase() : GrowthCase("arena, growth", 2, Growth::kTableUnits / 64 - 1) {}
  void Run(int thread) override { TakeAndUse(thread, 40, false); }
};

// A chunk is unmapped while others take units of it, return them, and map it
// again.
class UnmapCase : public GrowthCase {
 public:
  UnmapCase() : GrowthCase("arena, unmapping", 3, 3) {}
  void SetUp() override {
    GrowthCase::SetUp();
    TakeAndUse(0, 1, true);
  }
  void Run(int thread) override {
    if (thread == 1) return arena_.UnmapExcess(0);
    TakeAndUse(thread, 1, thread == 2);
  }
};

TakeCase take;
const Listed listed_take(&take);
PurgeCase purge;
const Listed listed_purge(&purge);
GrowCase grow;
const Listed listed_grow(&grow);
UnmapCase unmap;
const Listed listed_unmap(&unmap);

}  // namespace
}  // namespace aomalloc::weak
