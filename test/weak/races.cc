#include "test/weak/races.h"

#include <stdio.h>
#include <string.h>

#include <vector>

namespace aomalloc::weak::races {
namespace {

struct Old {
  void* address;
  uint64_t bytes;
  uint64_t value;
};
std::vector<Old> undo;
uintptr_t ignored;  // a word

enum Kind : uint8_t { kRead, kWrite, kAtomic };

// The last access of a kind to some bytes of a word, by each thread.
struct Access {
  uint8_t bytes;  // a bit for each
  Kind kind;
  uint8_t thread;
  uint32_t time;
  const void* code;
};
struct Cell {
  uintptr_t word;
  uint32_t execution = 0;  // that the cell is of
  std::vector<Access> accesses;
};
constexpr size_t kCells = 1 << 16;
std::vector<Cell> cells(kCells);
uint32_t execution;

Cell* CellOf(uintptr_t word) {
  size_t i = (word / 8 * 0x9E3779B97F4A7C15u) >> 48;
  while (cells[i].execution == execution && cells[i].word != word) {
    i = (i + 1) % kCells;
  }
  if (cells[i].execution != execution) {
    cells[i].execution = execution;
    cells[i].word = word;
    cells[i].accesses.clear();
  }
  return &cells[i];
}

bool Conflict(Kind a, Kind b) {
  return a == kAtomic || b == kAtomic ? a != b : a == kWrite || b == kWrite;
}

void AccessWord(uintptr_t word, uint8_t bytes, Kind kind, const void* code) {
  if (word == ignored) return;
  Cell* cell = CellOf(word);
  const Clock& clock = ClockOf(Self());
  Access* own = nullptr;
  for (Access& other : cell->accesses) {
    if (other.thread == Self()) {
      if (other.kind == kind && other.bytes == bytes) own = &other;
      continue;
    }
    if ((other.bytes & bytes) == 0 || !Conflict(kind, other.kind)) continue;
    if (other.time <= clock[other.thread]) continue;
    char text[200];
    snprintf(text, sizeof(text),
             "data race at %p: thread %d (code %p) and thread %d (code %p)",
             reinterpret_cast<void*>(word), other.thread, other.code, Self(),
             code);
    Fail(text);
  }
  // What comes after a thread's last operation is not handed on by that.
  const uint32_t time = clock[Self()] + 1;
  const auto thread = static_cast<uint8_t>(Self());
  const Access access = {bytes, kind, thread, time, code};
  own == nullptr ? cell->accesses.push_back(access) : void(*own = access);
}

void AccessBytes(const void* address, size_t bytes, Kind kind,
                 const void* code) {
  const auto start = reinterpret_cast<uintptr_t>(address);
  for (uintptr_t at = start; at < start + bytes;) {
    const uintptr_t word = at & ~uintptr_t{7};
    uintptr_t end = word + 8;
    if (end > start + bytes) end = start + bytes;
    const unsigned mask = (1u << (end - at)) - 1;
    AccessWord(word, static_cast<uint8_t>(mask << (at - word)), kind, code);
    at = end;
  }
}

void Plain(void* address, size_t bytes, bool write, const void* code) {
  if (!IsWatched() || IsUnshared(address)) return;
  if (write) NoteWrite(address, bytes);
  AccessBytes(address, bytes, write ? kWrite : kRead, code);
}

}  // namespace

void Begin() {
  ++execution;
  ignored = 0;
  undo.clear();
}

void Undo() {
  while (!undo.empty()) {
    const Old& old = undo.back();
    memcpy(old.address, &old.value, old.bytes);
    undo.pop_back();
  }
}

void NoteWrite(const void* address, size_t bytes) {
  auto* at = static_cast<char*>(const_cast<void*>(address));
  for (size_t done = 0; done < bytes; done += 8) {
    Old old = {at + done, bytes - done < 8 ? bytes - done : 8, 0};
    memcpy(&old.value, old.address, old.bytes);
    undo.push_back(old);
  }
}

void Ignore(const void* address) {
  ignored = reinterpret_cast<uintptr_t>(address);
}

void Atomic(const void* address, size_t bytes) {
  AccessBytes(address, bytes, kAtomic, nullptr);
}

}  // namespace aomalloc::weak::races

// What -fsanitize=thread calls. Volatile reads are left out: who reads so
// expects that others write.
extern "C" {

using aomalloc::weak::races::Plain;

#define ACCESS(bytes)                                    \
  void __tsan_read##bytes(void* p) {                     \
    Plain(p, bytes, false, __builtin_return_address(0)); \
  }                                                      \
  void __tsan_write##bytes(void* p) {                    \
    Plain(p, bytes, true, __builtin_return_address(0));  \
  }                                                      \
  void __tsan_volatile_read##bytes(void*) {}             \
  void __tsan_volatile_write##bytes(void* p) {           \
    aomalloc::weak::MayStopHere();                       \
    Plain(p, bytes, true, __builtin_return_address(0));  \
  }                                                      \
  void __tsan_unaligned_read##bytes(void* p) {           \
    Plain(p, bytes, false, __builtin_return_address(0)); \
  }                                                      \
  void __tsan_unaligned_write##bytes(void* p) {          \
    Plain(p, bytes, true, __builtin_return_address(0));  \
  }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __tsan_read_range(void* p, size_t bytes) {
  Plain(p, bytes, false, __builtin_return_address(0));
}
void __tsan_write_range(void* p, size_t bytes) {
  Plain(p, bytes, true, __builtin_return_address(0));
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
}
