#include "test/stepper/book.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "test/stepper/scenarios.h"
#include "test/stepper/shared.h"

namespace stepper {
namespace {

struct Line {
  unsigned char* ptr;
  size_t size;
  unsigned char seed;
};

constexpr size_t kMaxLines = 4000;
// Blocks up to this size are filled throughout, of larger ones both ends and a
// byte of each page, of the largest of each 15th.
constexpr size_t kFilled = 2048;
constexpr size_t kEachPage = size_t{1} << 20;

Line lines[kMaxLines];  // by address
size_t num_lines;
unsigned char next_seed = 1;
uint32_t random_state = 12345;

uint32_t Random() {
  random_state = random_state * 1664525 + 1013904223;
  return random_state >> 8;
}

unsigned char PatternAt(const Line& line, size_t i) {
  return static_cast<unsigned char>(line.seed + i * 7);
}

// Calls `visit` for each offset that is filled.
template <typename Visit>
void ForEachOffset(const Line& line, Visit visit) {
  if (line.size <= kFilled) {
    for (size_t i = 0; i < line.size; ++i) visit(i);
    return;
  }
  for (size_t i = 0; i < 128; ++i) visit(i), visit(line.size - 1 - i);
  const size_t step = line.size <= kEachPage ? 4096 : 15 * 4096;
  for (size_t i = step; i < line.size; i += step) visit(i);
}

void CheckLine(const Line& line) {
  ForEachOffset(line, [&line](size_t i) {
    if (line.ptr[i] != PatternAt(line, i)) {
      Fail("a block was overwritten", line.ptr);
    }
  });
}

// Index of the first line at or above `ptr`.
size_t Find(const void* ptr) {
  size_t low = 0;
  size_t high = num_lines;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (lines[middle].ptr < ptr) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

void CheckZero(const void* ptr, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(ptr);
  if (bytes[0] != 0 || memcmp(bytes, bytes + 1, size - 1) != 0) {
    Fail("calloc gave memory that is not zero", ptr);
  }
}

}  // namespace

bool may_run_out;

void Enter(void* ptr, size_t size) {
  if (ptr == nullptr) {
    if (may_run_out) return;
    Fail("no memory");
  }
  auto* bytes = static_cast<unsigned char*>(ptr);
  // mimalloc aligns what is smaller than 16 to 8 only.
  if (size >= 16 && reinterpret_cast<uintptr_t>(ptr) % 16 != 0) {
    Fail("misaligned", ptr);
  }
  if (num_lines == kMaxLines) Fail("the book is full");
  const size_t at = Find(ptr);
  if (at > 0 && lines[at - 1].ptr + lines[at - 1].size > bytes) {
    Fail("handed out twice: overlaps the block below", ptr);
  }
  if (at < num_lines &&
      (lines[at].ptr == bytes || bytes + size > lines[at].ptr)) {
    Fail("handed out twice: overlaps the block above", ptr);
  }
  memmove(&lines[at + 1], &lines[at], (num_lines - at) * sizeof(Line));
  ++num_lines;
  Line& line = lines[at];
  line = {bytes, size, next_seed++};
  ForEachOffset(line, [&line](size_t i) { line.ptr[i] = PatternAt(line, i); });
}

void Strike(void* ptr) {
  if (ptr == nullptr) return;
  const size_t at = Find(ptr);
  if (at == num_lines || lines[at].ptr != ptr) Fail("not in the book", ptr);
  CheckLine(lines[at]);
  --num_lines;
  memmove(&lines[at], &lines[at + 1], (num_lines - at) * sizeof(Line));
}

void* Take(size_t size) {
  void* ptr = malloc(size);
  Enter(ptr, size);
  return ptr;
}

void Give(void* ptr) {
  Strike(ptr);
  free(ptr);
}

void* Resize(void* ptr, size_t size) {
  const size_t at = Find(ptr);
  if (at == num_lines || lines[at].ptr != ptr) Fail("not in the book", ptr);
  const Line old = lines[at];
  Strike(ptr);
  auto* moved = static_cast<unsigned char*>(realloc(ptr, size));
  if (moved == nullptr) Fail("no memory");
  ForEachOffset(old, [&](size_t i) {
    if (i < size && moved[i] != PatternAt(old, i)) {
      Fail("realloc lost contents", moved + i);
    }
  });
  Enter(moved, size);
  return moved;
}

void CheckAll() {
  for (size_t i = 0; i < num_lines; ++i) CheckLine(lines[i]);
}

void GiveAll() {
  while (num_lines > 0) Give(lines[num_lines - 1].ptr);
}

void Exchange(size_t step) {
  for (size_t i = 0; i < num_lines; i += step) {
    const size_t size = lines[i].size;
    Give(lines[i].ptr);
    Take(size);
  }
}

void Exercise(size_t focus) {
  Exchange(3);
  // Half of the sizes in each trial: to touch a page takes longer than all that
  // is done to what is on it.
  const bool even = trial.variant % 2 == 0;
  const size_t sizes[] = {focus, even ? size_t{1} : 64, focus + 16,
                          even ? size_t{1152} : 200,
                          even ? size_t{5000} : 20000};
  for (const size_t size : sizes) {
    void* p = Take(size);
    void* zeroed = calloc(1, size);
    if (zeroed != nullptr) CheckZero(zeroed, size);
    Enter(zeroed, size);
    void* aligned = memalign(128, size);
    if (reinterpret_cast<uintptr_t>(aligned) % 128 != 0) {
      Fail("memalign is misaligned", aligned);
    }
    Enter(aligned, size);
    Strike(p);
    void* grown = realloc(p, size * 2);
    Enter(grown, size * 2);
    if (grown == nullptr) {
      free(p);
    } else if (malloc_usable_size(grown) < size * 2) {
      Fail("usable size", grown);
    }
    Give(zeroed);
    Give(aligned);
    // The small ones are kept: they show what later writes to them.
    if (size >= 1024) Give(grown);
  }
}

void Stock() {
  const size_t sizes[] = {64, 1000, 1500, 5000, 20000};
  for (const size_t size : sizes) Take(size), Take(size);
  if (!mapped) return;
  const size_t large[] = {150000, 300000};
  for (const size_t size : large) Take(size);
}

namespace {
// Small sizes one by one, then about three to each power of two; large ones,
// which are many bytes, by powers of two alone.
size_t SizeAfter(size_t size, size_t large) {
  if (size < 64) return size + 16;
  return size < large ? size + size / 4 : size * 2;
}
}  // namespace

void UseAllSizes(int rounds) {
  // Large ones, which the static heap has no room for, are few.
  constexpr size_t kSmallest = 16;
  constexpr size_t kLarge = 40000;
  const size_t for_mapped = size_t{rounds > 1 ? 4U : 1U} << 18;
  const size_t largest = mapped ? for_mapped : kLarge;
  static void* taken[400];
  for (int round = 0; round < rounds; ++round) {
    size_t count = 0;
    for (size_t size = kSmallest; size <= largest;
         size = SizeAfter(size, kLarge)) {
      taken[count++] = Resize(Take(size), size + size / 2);
      void* zeroed = calloc(1, size);
      if (zeroed == nullptr) Fail("no memory");
      CheckZero(zeroed, size);
      Enter(zeroed, size);
      taken[count++] = zeroed;
      void* aligned = memalign(256, size);
      if (reinterpret_cast<uintptr_t>(aligned) % 256 != 0) {
        Fail("memalign is misaligned", aligned);
      }
      Enter(aligned, size);
      taken[count++] = aligned;
    }
    CheckAll();
    for (size_t i = 0; i < count; ++i) Give(taken[i]);
    malloc_trim(0);
  }
}

void SetTrap(size_t focus, Trap trap) {
  void* a = Take(focus);
  Take(focus);
  if (trap == Trap::kHeadReturns) Give(a);
}

void Churn(int count, size_t focus) {
  static const size_t kSizes[] = {8, 64, 100, 200, 400, 1152, 2304};
  constexpr size_t kNumSizes = sizeof kSizes / sizeof kSizes[0];
  for (int i = 0; i < count; ++i) {
    const uint32_t r = Random();
    if (num_lines > 0 && (r % 8 < 4 || num_lines > 500)) {
      void* ptr = lines[Random() % num_lines].ptr;
      if (r % 8 == 0 && !may_run_out) {
        Strike(ptr);
        const size_t size = kSizes[Random() % kNumSizes];
        void* moved = realloc(ptr, size);
        Enter(moved, size);
      } else {
        Give(ptr);
      }
    } else if (r % 8 == 4) {
      Take(focus);
    } else {
      Take(kSizes[Random() % kNumSizes]);
    }
  }
}

void ExerciseInThread(size_t focus) {
  if (may_run_out) return;  // a thread needs some memory
  static size_t thread_focus;
  thread_focus = focus;
  pthread_t thread;
  const int error = pthread_create(
      &thread, nullptr,
      [](void*) -> void* {
        Exercise(thread_focus);
        Churn(30, thread_focus);
        return nullptr;
      },
      nullptr);
  if (error != 0) Fail("pthread_create");
  pthread_join(thread, nullptr);
}

namespace {

// A slab of blocks of this size is a unit of the arena, and begins at a
// multiple of its size.
constexpr size_t kTell = 64;

struct Guest {
  Event taken;
  uintptr_t block;
};

void* StayAsGuest(void* guest) {
  auto* self = static_cast<Guest*>(guest);
  void* block = malloc(kTell);
  Enter(block, kTell);
  self->block = reinterpret_cast<uintptr_t>(block);
  self->taken.Set();
  static Event never;
  never.Wait();
  return nullptr;
}

}  // namespace

void CheckThatThreadsDoNotShare() {
  if (may_run_out) return;
  constexpr size_t kGuests = 8;
  static Guest guests[kGuests + 1];
  for (size_t i = 0; i < kGuests; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, StayAsGuest, &guests[i]) != 0) {
      Fail("pthread_create");
    }
    guests[i].taken.Wait();
  }
  guests[kGuests].block = reinterpret_cast<uintptr_t>(Take(kTell));
  const uintptr_t slab_bytes = mapped ? 65536 : 4096;
  for (size_t i = 0; i <= kGuests; ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (guests[i].block / slab_bytes == guests[j].block / slab_bytes) {
        Fail("two threads allocate from one heap",
             reinterpret_cast<void*>(guests[i].block));
      }
    }
  }
}

}  // namespace stepper
