#include "core/heap/run_cache.h"

#include "core/arena/ceiling.h"
#include "core/arena/memory.h"
#include "core/arena/tails.h"

namespace aomalloc {
namespace {

// The table: RunCache*, or 0. There may be kAlways places, and one more for
// each 64 units in use in the primary.
constexpr size_t kAlways = 64;
constexpr size_t kPlaces = 512;
AtomicWord places[kPlaces];
// Hint: so many of the first ones are taken, less than kOnce. And, in steps of
// kOnce, how often one was given up: who has searched while one was, or has
// stopped since, does not say that all are taken.
AtomicWord all_taken;
constexpr AO_t kOnce = 1024;
static_assert(kPlaces < kOnce);

void NoteGivenUp(size_t place) {
  AO_t seen;
  AO_t taken;
  do {
    seen = LoadRelaxed(&all_taken);
    taken = seen % kOnce;
  } while (!CasRelaxed(&all_taken, seen,
                       seen - taken + kOnce + (place < taken ? place : taken)));
}

// How many of the places may be taken now.
size_t Places() {
  const Arena* arena = memory::Primary();
  if (arena == nullptr) return kAlways;
  const size_t more = arena->used_units() / 16 / RunCache::kUnitsAPlace;
  return more < kPlaces - kAlways ? kAlways + more : kPlaces;
}

void GiveBack(Run* run) {
  tails::Forget(run);
  memory::Return(run, /*dirty=*/true);
}

}  // namespace

bool RunCache::Keep(Run* run) {
  if (run->units > kMaxUnits || ceiling::IsSet()) return false;
  if (units_ + run->units > Room() && !MakeRoom(run->units)) return false;
  Run** list = &kept_[run->units - 1];
  run->kind = RunKind::kFree;
  run->next = *list;
  units_ += run->units;
  Commit(list, run);
  return true;
}

// Takes one more place. False if there is none.
bool RunCache::TakePlace() {
  // The last quarter is for those that have none, and of the others only the
  // first half for those that have many.
  const size_t all = Places();
  const size_t count = places_taken_ == 0             ? all
                       : places_taken_ < kUsualPlaces ? all / 4 * 3
                                                      : all / 2;
  const AO_t seen = LoadRelaxed(&all_taken);
  if (count <= seen % kOnce) return false;
  // Caches begin at different places, and find the same ones again.
  size_t place = (AsWord() * 0x9E3779B97F4A7C15u >> 48) % count;
  for (size_t i = 0; i < count; ++i, ++place) {
    if (place == count) place = 0;
    if (LoadRelaxed(&places[place]) == 0 &&
        CasRelaxed(&places[place], 0, AsWord())) {
      places_[places_taken_] = static_cast<uint16_t>(place);
      Commit(&places_taken_, static_cast<uint8_t>(places_taken_ + 1));
      return true;
    }
  }
  CasRelaxed(&all_taken, seen, seen - seen % kOnce + count);
  return false;
}

// Makes room for so many units: takes places, or gives back what is kept. False
// if there are too few places.
bool RunCache::MakeRoom(size_t units) {
  size_t wanted = 0;
  if (missed_ != 0) {
    // More room than usual only where it is enough to keep all that goes and
    // comes.
    wanted = Room() + (missed_ < shed_ ? missed_ : shed_);
    if (wanted > kMostUnits || memory::IsScarce()) wanted = 0;
    missed_ = 0;
    shed_ = 0;
  }
  while (Room() < wanted ||
         (units_ + units > Room() && places_taken_ < kUsualPlaces)) {
    if (!TakePlace()) break;
  }
  if (units > Room()) return false;
  if (units_ + units > Room()) {
    const size_t half = Room() / 2;
    Shed(units <= half ? half : Room() - units);
  }
  return true;
}

// Gives back the oldest run of each length, in turn, until at most so many
// units are kept.
void RunCache::Shed(size_t most) {
  bool found = true;
  while (found && units_ > most) {
    found = false;
    for (size_t units = kMaxUnits; units > 0 && units_ > most; --units) {
      Run** link = &kept_[units - 1];
      Run* run = *link;
      if (run == nullptr) continue;
      while (run->next != nullptr) {
        link = &run->next;
        run = run->next;
      }
      found = true;
      Commit<Run*>(link, nullptr);
      units_ -= run->units;
      if (shed_ <= kMostUnits) shed_ = static_cast<uint8_t>(shed_ + units);
      GiveBack(run);
    }
  }
}

void RunCache::GiveUp() {
  for (Run*& list : kept_) {
    while (Run* run = list) {
      Commit(&list, run->next);
      GiveBack(run);
    }
  }
  units_ = 0;
  shed_ = 0;
  missed_ = 0;
  while (places_taken_ != 0) {
    const size_t place = places_[places_taken_ - 1];
    CasRelaxed(&places[place], AsWord(), 0);
    NoteGivenUp(place);
    Commit(&places_taken_, static_cast<uint8_t>(places_taken_ - 1));
  }
}

void RunCache::Recount() {
  units_ = 0;
  for (const Run* run : kept_) {
    for (; run != nullptr; run = run->next) units_ += run->units;
  }
  places_taken_ = 0;
  NoteGivenUp(0);  // perhaps one was, and this was not noted
  for (size_t i = 0; i < kPlaces && places_taken_ < kMostPlaces; ++i) {
    if (LoadRelaxed(&places[i]) == AsWord()) {
      places_[places_taken_++] = static_cast<uint16_t>(i);
    }
  }
}

}  // namespace aomalloc
