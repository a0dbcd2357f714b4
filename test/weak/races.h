// Plain accesses of what runs in the model: which of them race, and what is to
// be undone after an execution.
//
// The compiler puts a call before each plain access, as for ThreadSanitizer
// (-fsanitize=thread). The functions that it calls are ours.
#ifndef AOMALLOC_TEST_WEAK_RACES_H_
#define AOMALLOC_TEST_WEAK_RACES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace aomalloc::weak {

// What a thread knows: how far each thread had come (a vector clock).
class Clock {
 public:
  uint32_t& operator[](int thread) {
    return times_[static_cast<size_t>(thread)];
  }
  uint32_t operator[](int thread) const {
    return times_[static_cast<size_t>(thread)];
  }
  friend void Join(Clock* into, const Clock& other) {
    for (size_t i = 0; i < into->times_.size(); ++i) {
      if (other.times_[i] > into->times_[i]) into->times_[i] = other.times_[i];
    }
  }

 private:
  std::array<uint32_t, 8> times_ = {};
};

// Of the execution that runs (model.cc).
[[noreturn]] void Fail(const std::string& what);
// True if the case itself runs, not the model.
bool IsWatched();
int Self();
Clock& ClockOf(int thread);
// True for stacks and thread-local variables.
bool IsUnshared(const void* address);

// If the running thread is mortal, it may stop for ever now.
void MayStopHere();

namespace races {

inline bool IsIn(const void* address, const char* start, size_t bytes) {
  return static_cast<size_t>(static_cast<const char*>(address) - start) < bytes;
}

void Begin();
// Undoes all writes since.
void Undo();
// To be called before a write that is to be undone.
void NoteWrite(const void* address, size_t bytes);
// Leaves out one word, in this execution.
void Ignore(const void* address);
// An atomic access: it races with plain ones.
void Atomic(const void* address, size_t bytes);

}  // namespace races
}  // namespace aomalloc::weak

#endif  // AOMALLOC_TEST_WEAK_RACES_H_
