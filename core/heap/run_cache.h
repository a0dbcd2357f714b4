// Run caches: free runs that a heap keeps for its next slabs and large blocks.
// So a program that calls malloc and free by turns needs no atomic operation
// and takes no page fault.
//
// Who touches what: the operation that holds the heap's claim, by plain loads
// and stores. The arena does not know of the cache. There a kept run is in use;
// its kind is kFree, so that no address in it is taken for a block.
//
// Commit: Take and Keep commit with the store to the list.
//
// How much: memory that an idle thread keeps is of no use to others. So there
// is a table of places, each of which is the right to keep a few units, and a
// cache takes them as it needs them. When its room is full, half of what it
// keeps goes back, the oldest first. If its heap then wants that again, the
// room was too small for what the program does: it grows, as far as that helps.
//
// Interruption: an operation that is abandoned before that store (Keep) or
// after it (Take, and when runs go back) loses the run in hand. The count of
// units may then be wrong until Recount. A place in the table holds the cache's
// address, so Recount also finds one that an abandoned operation took. One that
// is abandoned while it gives a place up may leave two caches with that place,
// until either gives it up.
#ifndef AOMALLOC_CORE_HEAP_RUN_CACHE_H_
#define AOMALLOC_CORE_HEAP_RUN_CACHE_H_

#include "core/arena/run.h"
#include "core/base/atomics.h"

namespace aomalloc {

class RunCache {
 public:
  // The longest run that a cache takes: 1 MiB of mapped memory, 64 KiB of the
  // static heap. Usually it does not keep more than that in all, either.
  static constexpr size_t kMaxUnits = 16;

  // What a place is for, and how many a cache may have: usually, and at most.
  static constexpr size_t kUnitsAPlace = 4;
  static constexpr size_t kUsualPlaces = kMaxUnits / kUnitsAPlace;
  static constexpr size_t kMostPlaces = 4 * kUsualPlaces;
  static constexpr size_t kMostUnits = kMostPlaces * kUnitsAPlace;

  // Takes a run of exactly `units` units. Null if none is kept. Its memory may
  // have any contents.
  Run* Take(size_t units) {
    if (units > kMaxUnits) return nullptr;
    Run** list = &kept_[units - 1];
    Run* run = *list;
    if (run == nullptr) {
      missed_ = static_cast<uint16_t>(missed_ + units);
      return nullptr;
    }
    Commit(list, run->next);
    units_ -= run->units;
    return run;
  }

  // Keeps a run. All runs of one cache have units of the same size. False if
  // the run is too long, if there is a ceiling, or if other caches have the
  // places.
  bool Keep(Run* run);

  // True if it keeps any. Others may ask at any time (Glance).
  bool KeepsAny() const { return Glance(units_) != 0; }

  // Gives all runs back to their arenas, and gives up the right to keep any.
  void GiveUp();

  // Counts the units anew, and looks for its places, after an operation was
  // abandoned.
  void Recount();

 private:
  // What stands for this cache in the table.
  AO_t AsWord() const { return reinterpret_cast<AO_t>(this); }
  size_t Room() const { return places_taken_ * kUnitsAPlace; }
  bool TakePlace();
  bool MakeRoom(size_t units);
  void Shed(size_t most);

  Run* kept_[kMaxUnits] = {};  // lists, by units - 1
  uint32_t units_ = 0;         // units in all lists
  // Units that went back because there was no room, and those that were taken
  // in vain since. Hints, which may wrap.
  uint8_t shed_ = 0;
  uint8_t places_taken_ = 0;
  uint16_t missed_ = 0;
  uint16_t places_[kMostPlaces] = {};  // indices in the table
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_RUN_CACHE_H_
