#include "test/stepper/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test/stepper/scenarios.h"
#include "test/stepper/symbols.h"

namespace stepper {
namespace {

// In a loop, an instruction does the same at its 65th execution as at its 64th,
// and to run there takes two stops for each.
constexpr unsigned kMostVisits = 64;
// Paths of so many boundaries are the fast ones: no stride leaves any out.
constexpr size_t kShort = 64;
// Calls that are all tried.
constexpr unsigned kFewCalls = 16;

// By mode: which instructions of the library have been tried, in any scenario.
constexpr size_t kLibraryBytes = size_t{1} << 20;
constexpr size_t kTriedBytes = kLibraryBytes * kNumModes;
bool (*tried)[kLibraryBytes];

// The descriptor of the file that it is in, which stages inherit.
constexpr char kTriedFile[] = "AOMALLOC_STEPPER_TRIED";

// Notes that the instruction is tried. False if it was before.
bool IsFirstTrial(uintptr_t pc, Mode mode) {
  if (!InLibrary(pc) || OffsetInLibrary(pc) >= kLibraryBytes) return false;
  bool& before = tried[static_cast<int>(mode)][OffsetInLibrary(pc)];
  // Relaxed: nothing is read that it guards.
  return !__atomic_exchange_n(&before, true, __ATOMIC_RELAXED);
}

// Modes that share the instructions between them take turns.
size_t TurnOf(Mode mode) {
  switch (mode) {
    case Mode::kOnStack:
      return 0;
    case Mode::kKill:
      return 1;
    case Mode::kFork:
      return 2;
    default:
      return 3;
  }
}

}  // namespace

Plan plan;

void SharePlan() {
  const int file = memfd_create("tried", 0);
  char number[20];
  snprintf(number, sizeof number, "%d", file);
  if (file < 0 || ftruncate(file, kTriedBytes) != 0 ||
      setenv(kTriedFile, number, 1) != 0) {
    abort();
  }
}

void JoinPlan() {
  const char* file = getenv(kTriedFile);
  void* memory = mmap(nullptr, kTriedBytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                      file == nullptr ? -1 : atoi(file), 0);
  if (memory == MAP_FAILED) abort();
  tried = static_cast<bool(*)[kLibraryBytes]>(memory);
}

void Visits::Clear() { memset(seen_, 0, sizeof seen_); }

unsigned Visits::Add(uintptr_t pc) {
  size_t slot = pc * 0x9e3779b97f4a7c15 >> 48;
  while (seen_[slot].pc != 0 && seen_[slot].pc != pc) {
    slot = (slot + 1) % kSlots;
  }
  seen_[slot].pc = pc;
  return ++seen_[slot].count;
}

bool IsOfPlan(unsigned visit) {
  if (plan.full) return true;
  return visit <= kMostVisits && (visit & (visit - 1)) == 0;
}

bool IsCallOfPlan(unsigned visit) {
  return visit <= kFewCalls || IsOfPlan(visit);
}

bool IsOfPart(size_t number, size_t count, size_t scenario, Mode mode) {
  if (count <= kShort) return true;
  const auto wanted = static_cast<size_t>(plan.stride);
  const size_t stride = wanted < count ? wanted : count;
  const size_t which =
      (scenario * kNumModes + static_cast<size_t>(mode)) * 2 + mapped;
  return number % stride == (which * 0x9e3779b97f4a7c15 >> 32) % stride;
}

bool IsDue(uintptr_t pc, Mode mode) {
  if (!IsFirstTrial(pc, mode) || plan.each == 0) return false;
  const size_t hash = OffsetInLibrary(pc) * 0x9e3779b97f4a7c15 >> 32;
  return (hash + TurnOf(mode)) % static_cast<size_t>(plan.each) == 0;
}

size_t CountErrors(uintptr_t pc, Mode mode, unsigned visit, size_t errors) {
  if (plan.full || (visit == 1 && IsFirstTrial(pc, mode))) return errors;
  const size_t few = visit == 1 ? 2 : 1;
  return errors < few ? errors : few;
}

}  // namespace stepper
