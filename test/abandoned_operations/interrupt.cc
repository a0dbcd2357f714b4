#include "test/abandoned_operations/interrupt.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

extern "C" const char __executable_start, etext;  // of this program

namespace abandon {
namespace {

constexpr unsigned char kBreakpoint = 0xcc;
constexpr greg_t kTrapFlag = 0x100;

// Distinct instructions, in the order in which they were first seen, and where
// in that order each is.
struct Places {
  static constexpr size_t kSlots = size_t{1} << 15;
  static constexpr int kCapacity = kSlots / 2;
  int count;
  uintptr_t pc[kCapacity];
  unsigned char code[kCapacity];
  uintptr_t seen[kSlots];
};
Places* places;  // shared with children
constexpr Place kFastPlaces = 80;

void (*on_hit)();
volatile Place planted = -1;  // -1: none
volatile int counted;
volatile bool counting;
volatile int steps_to_hit;
// Steps through places that were known. Nothing else is done for longer than
// copying, which is not worth the while.
volatile int steps_idle;
constexpr int kMaxIdle = 6000;

bool MakeWritable(uintptr_t pc) {
  const auto page = static_cast<uintptr_t>(getpagesize());
  return mprotect(reinterpret_cast<void*>(pc & ~(page - 1)), page,
                  PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
}

bool InProgram(uintptr_t pc) {
  return pc >= reinterpret_cast<uintptr_t>(&__executable_start) &&
         pc < reinterpret_cast<uintptr_t>(&etext);
}

volatile unsigned char* CodeAt(uintptr_t pc) {
  return reinterpret_cast<volatile unsigned char*>(pc);
}

// Two threads may do so at once.
void Remove(Place place) { *CodeAt(places->pc[place]) = places->code[place]; }

// True if the instruction was not known.
bool Learn(uintptr_t pc) {
  size_t slot = pc * 0x9e3779b97f4a7c15 >> 49;
  while (places->seen[slot] != 0) {
    if (places->seen[slot] == pc) return false;
    slot = (slot + 1) % Places::kSlots;
  }
  if (places->count == Places::kCapacity) Fail("too many instructions");
  places->seen[slot] = pc;
  if (!MakeWritable(pc)) return false;  // the vdso
  places->pc[places->count] = pc;
  places->code[places->count++] = *CodeAt(pc);
  return true;
}

void Hit() {
  exposed = false;
  on_hit();
}

void OnTrap(int, siginfo_t* info, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  if (info->si_code == SI_KERNEL) {
    // It may be gone by now, if another thread has met it too.
    const auto pc = static_cast<uintptr_t>(--registers[REG_RIP]);
    const Place place = planted;
    if (place >= 0 && pc == places->pc[place]) Remove(place);
    if (!exposed) return;
    // Loops: so that not all is interrupted the first time it is executed.
    if (steps_to_hit == 0) return Hit();
    registers[REG_EFL] |= kTrapFlag;
    return;
  }
  const auto pc = static_cast<uintptr_t>(registers[REG_RIP]);
  if (counting) {
    ++counted;
  } else if (learning) {
    steps_idle = !InProgram(pc) && Learn(pc) ? 0 : steps_idle + 1;
    if (steps_idle > kMaxIdle) {
      registers[REG_EFL] &= ~kTrapFlag;
      steps_idle = 0;
    }
  } else if (InProgram(pc)) {
    registers[REG_EFL] &= ~kTrapFlag;  // the operation is done
  } else if (--steps_to_hit <= 0) {
    registers[REG_EFL] &= ~kTrapFlag;
    Hit();
  }
}

__attribute__((noinline)) void Pair() { free(malloc(48)); }

}  // namespace

__thread volatile bool exposed;
volatile bool learning;

void HandleInterrupts(int flags, void (*hit)()) {
  on_hit = hit;
  if (places == nullptr) {
    places = static_cast<Places*>(MapShared(sizeof(Places)));
  }
  struct sigaction action {};
  action.sa_sigaction = OnTrap;
  action.sa_flags = SA_SIGINFO | SA_NODEFER | flags;
  sigaction(SIGTRAP, &action, nullptr);
}

Place ChoosePlace(Place end, Random* random) {
  if (end > kFastPlaces && random->Below(2) == 0) end = kFastPlaces;
  const auto place =
      static_cast<Place>(random->Below(static_cast<size_t>(end)));
  // This process may not be the one that learned it.
  if (!MakeWritable(places->pc[place])) Fail("the code cannot be written to");
  steps_to_hit =
      random->Below(64) == 0 ? static_cast<int>(random->Below(64)) : 0;
  return place;
}

Place NumPlaces() { return places->count; }

void Arm(Place place) {
  Disarm();
  planted = place;
  *CodeAt(places->pc[place]) = kBreakpoint;
}

void Disarm() {
  if (planted >= 0) Remove(planted);
  planted = -1;
}

void LearnFastPaths() {
  Pair();
  learning = true;
  Exposed(Pair);
  learning = false;
}

int InstructionsOfPair(int others) {
  for (int i = 0; i < others; ++i) Pair();
  // The second time: in the first, the frames of the handler may overwrite one
  // that was abandoned.
  for (int i = 0; i < 2; ++i) {
    counted = 0;
    counting = true;
    SetTrap();
    Pair();
    ClearTrap();
    counting = false;
  }
  return counted;
}

}  // namespace abandon
