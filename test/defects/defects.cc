// defects NAME: does what NAME says, which no program should, then goes on as
// programs do: allocates, writes and frees, and looks whether memory that is
// its own is still as it left it. Exits with 0 if it is, 3 if it is not.
// defects --list: the names.
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <new>

namespace {

// The compiler must not know what is wrong.
void* volatile pointer;
char in_data[100];

constexpr size_t kSize = 100;
constexpr size_t kLarge = 1000000;
constexpr int kOthers = 100;
constexpr int kMany = 3000;

struct Owned {
  unsigned char* bytes;
  size_t size;
};
Owned owned[kOthers + kMany];
int owned_count;

char* Take(size_t size) {
  auto* block = static_cast<char*>(malloc(size));
  if (block == nullptr) _exit(4);
  return block;
}

unsigned char Pattern(int id, size_t i) {
  return static_cast<unsigned char>(id * 31 + static_cast<int>(i) * 7 + 1);
}

void Own(size_t size) {
  auto* bytes = reinterpret_cast<unsigned char*>(Take(size));
  for (size_t i = 0; i < size; ++i) bytes[i] = Pattern(owned_count, i);
  owned[owned_count++] = {bytes, size};
}

void LookAtOwned() {
  for (int id = 0; id < owned_count; ++id) {
    for (size_t i = 0; i < owned[id].size; ++i) {
      if (owned[id].bytes[i] != Pattern(id, i)) _exit(3);
    }
  }
}

// Blocks that are freed and allocated again, over and over; and others that
// stay.
void GoOn() {
  for (int i = 0; i < 4 * kMany; ++i) free(Take(kSize));
  for (int i = 0; i < kMany; ++i) Own(i % 16 == 15 ? kLarge / 50 : kSize);
  LookAtOwned();
  for (int id = 0; id < owned_count; id += 2) {
    free(owned[id].bytes);
    owned[id].size = 0;
  }
  for (int i = 0; i < kMany / 2; ++i) memset(Take(kSize), 0xee, kSize);
  for (int i = 0; i < 20; ++i) free(Take(kLarge));
  LookAtOwned();
  for (int id = 1; id < owned_count; id += 2) free(owned[id].bytes);
}

template <typename F>
void InAnotherThread(F f) {
  pthread_t thread;
  pthread_create(
      &thread, nullptr,
      [](void* g) -> void* {
        (*static_cast<F*>(g))();
        return nullptr;
      },
      &f);
  pthread_join(thread, nullptr);
}

char* Freed(size_t size) {
  char* block = Take(size);
  memset(block, 0x11, size);
  pointer = block;
  free(pointer);
  return block;
}
void FreeIt() { free(pointer); }

void* blocks[100];
void TakeBlocks() {
  for (void*& block : blocks) block = Take(kSize);
}
void FreeBlocks() {
  free(Take(10));  // that its thread has allocated before may matter
  for (void* block : blocks) free(block);
}
void Write(volatile char* place, size_t count) {
  for (size_t i = 0; i < count; ++i) place[i] = 0x42;
}

struct Defect {
  const char* name;
  void (*act)();
};

const Defect kDefects[] = {
    {"double free, at once", [] { Freed(kSize), FreeIt(); }},
    {"double free, another in between",
     [] {
       void* other = Take(kSize);
       void* block = Freed(kSize);
       free(other);
       pointer = block;
       FreeIt();
     }},
    {"double free, much in between",
     [] {
       static void* blocks[1000];
       for (void*& block : blocks) block = Take(kSize);
       pointer = blocks[500];
       for (int i = 0; i < 1000; i += 2) free(blocks[i]);
       // Not of that size: the block itself is not to be handed out again.
       for (int i = 0; i < 100; i += 2) blocks[i] = Take(3 * kSize);
       FreeIt();
     }},
    {"double free, second by another thread",
     [] { Freed(kSize), InAnotherThread(FreeIt); }},
    {"double free, first by another thread",
     [] { pointer = Take(kSize), InAnotherThread(FreeIt), FreeIt(); }},
    {"double free, both by another thread",
     [] {
       pointer = Take(kSize);
       InAnotherThread([] { free(Take(10)), FreeIt(), FreeIt(); });
     }},
    {"double free, among others, second by another thread",
     [] {
       TakeBlocks();
       pointer = blocks[50];
       FreeIt();
       InAnotherThread(FreeBlocks);
     }},
    {"double free, among others, first by another thread",
     [] {
       TakeBlocks();
       pointer = blocks[50];
       InAnotherThread(FreeBlocks);
       FreeIt();
     }},
    {"double free of a large block", [] { Freed(kLarge), FreeIt(); }},
    {"double free of a large block, later",
     [] {
       void* block = Freed(kLarge);
       for (int i = 0; i < 3; ++i) free(Take(2 * kLarge));
       pointer = block;
       FreeIt();
     }},
    {"free inside a block, aligned",
     [] { pointer = Take(kSize) + 32, FreeIt(); }},
    {"free inside a block, misaligned",
     [] { pointer = Take(kSize) + 1, FreeIt(); }},
    {"free inside a large block",
     [] { pointer = Take(kLarge) + 65536, FreeIt(); }},
    {"free inside another thread's block",
     [] {
       InAnotherThread([] { pointer = Take(kSize) + 32; });
       FreeIt();
     }},
    {"free of stack memory",
     [] {
       alignas(64) char local[256] = {};
       pointer = local + 64;
       FreeIt();
     }},
    {"free of static memory", [] { pointer = in_data + 16, FreeIt(); }},
    {"free of unmapped memory",
     [] { pointer = reinterpret_cast<void*>(0x123450000), FreeIt(); }},
    {"free of memory never handed out",
     [] { pointer = Take(kSize) + (1 << 20), FreeIt(); }},
    {"realloc inside a block",
     [] { pointer = realloc(pointer = Take(kSize) + 32, 2 * kSize); }},
    {"realloc of a freed block",
     [] { Freed(kSize), pointer = realloc(pointer, 2 * kSize); }},
    {"realloc of stack memory",
     [] {
       alignas(64) char local[256] = {};
       pointer = local + 64;
       pointer = realloc(pointer, 2 * kSize);
     }},
    {"malloc_usable_size of a freed block",
     [] {
       Freed(kSize),
           in_data[0] = static_cast<char>(malloc_usable_size(pointer));
     }},
    {"sized delete, wrong size",
     [] {
       pointer = operator new(kSize), operator delete(pointer, 4 * kSize);
     }},
    {"write to a freed block, first word", [] { Write(Freed(kSize), 8); }},
    {"write to a freed block, second word", [] { Write(Freed(kSize) + 8, 8); }},
    {"write to a freed block, elsewhere", [] { Write(Freed(kSize) + 48, 8); }},
    {"write of null to a freed block",
     [] { memset(const_cast<char*>(Freed(kSize)), 0, 16); }},
    {"write of a pointer to a freed block",
     [] {
       char* live = reinterpret_cast<char*>(owned[0].bytes);
       char* block = Freed(kSize);
       memcpy(block, &live, 8);
       memcpy(block + 8, &live, 8);
     }},
    {"write to a freed large block", [] { Write(Freed(kLarge) + 5000, 8); }},
    {"write to a block after another got it",
     [] {
       char* block = Freed(kSize);
       for (int i = 0; i < 100; ++i) Own(kSize);
       Write(block, 1);
     }},
    {"overflow by one byte",
     [] {
       Write((pointer = Take(kSize), static_cast<char*>(pointer)) + kSize, 1),
           FreeIt();
     }},
    {"overflow into the next block",
     [] {
       Own(kSize), Own(kSize), Own(kSize);
       char* block = Take(kSize);
       pointer = block;
       Own(kSize), Own(kSize), Own(kSize);
       Write(block + kSize, 48);
       FreeIt();
     }},
    {"overflow of a large block, by one page",
     [] {
       char* block = Take(kLarge);
       pointer = block;
       Own(kLarge / 50);
       Write(block + kLarge, 4096), FreeIt();
     }},
    {"overflow by 256 KiB", [] { Write(Take(kSize), 256 << 10); }},
    {"underflow by eight bytes",
     [] {
       char* block = Take(kSize);
       pointer = block;
       Write(block - 8, 8), FreeIt();
     }},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "--list") == 0) {
    for (const Defect& defect : kDefects) puts(defect.name);
    return 0;
  }
  for (const Defect& defect : kDefects) {
    if (argc != 2 || strcmp(argv[1], defect.name) != 0) continue;
    for (int i = 0; i < kOthers; ++i) Own(kSize);
    defect.act();
    GoOn();
    _exit(0);
  }
  fprintf(stderr, "usage: defects --list | NAME\n");
  return 2;
}
