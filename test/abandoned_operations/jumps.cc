// jumps [COUNT]: handlers leave operations of the allocator by siglongjmp,
// COUNT times on each kind of stack. Blocks that were not in hand must be
// intact, and little may be lost. How many instructions a malloc and a free
// take before the first jump, and how many after some, is shown.
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "test/abandoned_operations/common.h"
#include "test/abandoned_operations/interrupt.h"
#include "test/abandoned_operations/workload.h"

namespace abandon {
namespace {

// Where the operations run; the handler too, except with kAlternateStack.
enum Stack {
  kMainStack,
  kThreadStack,
  kAlternateStack,
  kUserStack,
  kNumStacks
};

// What is abandoned: operations on blocks of up to a few KiB, or the others
// (Workload::Do), which may lose large blocks.
enum Part { kLearn, kSmall, kLarge, kNumParts };

// Lost memory, on average. Mostly it is the block in hand.
constexpr long kMaxLostPerJump = 1024;
// Tries to get to a place before another is chosen.
constexpr int kAttempts[kNumParts] = {24, 24, 2 * Workload::kNumRounds};
constexpr int kCheckEvery = 500;
constexpr int kWarmUp = 100;

struct Figures {
  long jumps;
  long nested;
  long resident;  // bytes lost
  long heap;
  Place small_places;  // in kLearn; those of kSmall come first
  int instructions;    // of a malloc and a free, before the first jump
  int slowest;         // and some time after one
};
Figures* figures;  // by Part; shared by all processes

// Of this process.
Stack stack;
Part part;
long wanted;
Figures* mine;
volatile long jumps;
volatile long nested;
Random choices(1);
Workload workload(2);

// --- Another thread, which frees blocks of ours and has us free its own.

Pipe to_peer, from_peer;
volatile bool stop_peer;
pthread_t peer;
sem_t peer_runs;

void* RunPeer(void*) {
  sem_post(&peer_runs);
  Random random(3);
  while (true) {
    Held held;
    if (to_peer.Take(&held)) {
      free(held.LetGo());
      continue;
    }
    if (stop_peer) return nullptr;
    const size_t size = 1 + random.SkewedBelow(Workload::MaxSize());
    held.Hold(malloc(size), size, &random);
    if (from_peer.Put(held)) continue;
    free(held.LetGo());
    const timespec a_while = {0, 500000};
    nanosleep(&a_while, nullptr);
  }
}

void StartPeer() {
  stop_peer = false;
  sem_init(&peer_runs, 0, 0);
  if (pthread_create(&peer, nullptr, RunPeer, nullptr) != 0) Fail("no thread");
  // glibc 2.41 calls memset as a thread begins, while all signals are blocked.
  // Then no breakpoint may be in there yet.
  while (sem_wait(&peer_runs) != 0) continue;
  workload.Share(&to_peer, &from_peer);
}

void StopPeer() {
  stop_peer = true;
  pthread_join(peer, nullptr);
  workload.Share(nullptr, nullptr);
  Held held;
  while (from_peer.Take(&held)) free(held.LetGo());
}

// --- In the handler.

// The handler blocks no signals, so there is no mask to save.
sigjmp_buf outer, inner;
volatile bool is_nested;

Place Choose() {
  return ChoosePlace(
      part == kLarge ? NumPlaces() : figures[kLearn].small_places, &choices);
}

// Has the handler's own operations interrupted; true if one was abandoned.
bool Nest() {
  is_nested = true;
  const bool abandoned = sigsetjmp(inner, 0) != 0;
  if (!abandoned) {
    Arm(Choose());
    for (int i = 0; i < 4; ++i) {
      const size_t size = 1 + choices.SkewedBelow(Workload::MaxSize());
      void* block = Exposed([=] { return malloc(size); });
      Exposed([=] { free(block); });
    }
    Disarm();
  }
  is_nested = false;
  return abandoned;
}

void OnHit() {
  if (is_nested) {
    ++jumps;
    ++nested;
    if (choices.Below(2) == 0) siglongjmp(inner, 1);
    is_nested = false;
    siglongjmp(outer, 1);
  }
  switch (choices.Below(16)) {
    case 0:
    case 1:
      free(malloc(1 + choices.SkewedBelow(Workload::MaxSize())));
      break;
    case 2:
      workload.GiveSome();
      break;
    case 3:
      // After half of these the interrupted operation goes on.
      if (Nest() && choices.Below(2) == 0) return;
      break;
  }
  ++jumps;
  siglongjmp(outer, 1);
}

// --- On the stack.

__attribute__((noinline)) void AtDepth(size_t frames, int round) {
  volatile char frame[256];
  frame[0] = 0;
  if (frames > 0) {
    AtDepth(frames - 1, round);
  } else if (round < 0) {
    workload.Operate();
  } else {
    workload.Do(static_cast<Workload::Round>(round));
  }
  frame[1] = frame[0];
}

size_t ChooseDepth() {
  const bool deep = stack != kUserStack && choices.Below(8) == 0;
  return choices.Below(deep ? 100 : 8);
}

// True if an operation was abandoned.
bool Attempt(Place place, int round) {
  if (sigsetjmp(outer, 0) != 0) return true;
  Arm(place);
  AtDepth(ChooseDepth(), round);
  Disarm();
  return false;
}

void JumpFrom(Place place) {
  for (int i = 0; i < kAttempts[part]; ++i) {
    const int round = i % Workload::kNumRounds;
    if (Attempt(place, part == kLarge ? round : -1)) return;
  }
}

void JumpUntil(long end) {
  while (jumps < end) JumpFrom(Choose());
}

// What operations go through, also after abandoned ones.
void LearnPlaces() {
  constexpr int kLessons = 240;
  LearnFastPaths();
  for (int i = 0; i < kLessons; ++i) {
    if (i > kLessons * 3 / 4) JumpFrom(Choose());
    learning = true;
    workload.Operate();
    learning = false;
    figures[kLearn].small_places = NumPlaces();
  }
  learning = true;
  for (int i = 0; i < Workload::kNumRounds; ++i) {
    workload.Do(static_cast<Workload::Round>(i));
  }
  learning = false;
}

void Measure(long sign) {
  StopPeer();
  workload.GiveAll();
  malloc_trim(0);
  mine->heap += sign * static_cast<long>(HeapBytes());
  mine->resident += sign * static_cast<long>(ResidentBytes());
  StartPeer();
}

void Run() {
  StartPeer();
  if (part == kLearn) {
    LearnPlaces();
    return StopPeer();
  }
  mine->instructions = InstructionsOfPair(kWarmUp);
  JumpUntil(wanted / 10);
  jumps = 0;
  Measure(-1);
  while (jumps < wanted) {
    Watch(&jumps, "jumps");
    JumpUntil(jumps + kCheckEvery < wanted ? jumps + kCheckEvery : wanted);
    const int now = InstructionsOfPair(kWarmUp);
    if (now > mine->slowest) mine->slowest = now;
  }
  Measure(1);
  StopPeer();
  mine->jumps += jumps;
  mine->nested += nested;
}

// --- The stacks.

void RunInThread() {
  pthread_t thread;
  const auto run = [](void*) -> void* {
    Run();
    return nullptr;
  };
  if (pthread_create(&thread, nullptr, run, nullptr) != 0) Fail("no thread");
  pthread_join(thread, nullptr);
}

void RunWithAlternateStack() {
  constexpr size_t kSize = size_t{64} * 1024;
  stack_t alternate{};
  alternate.ss_sp = MapShared(kSize);
  alternate.ss_size = kSize;
  sigaltstack(&alternate, nullptr);
  HandleInterrupts(SA_ONSTACK, OnHit);
  Run();
}

void RunOnUserStack() {
  constexpr size_t kSize = size_t{40} * 1024;
  static ucontext_t here, there;
  getcontext(&there);
  there.uc_stack.ss_sp = MapShared(kSize);
  there.uc_stack.ss_size = kSize;
  there.uc_link = &here;
  makecontext(&there, Run, 0);
  swapcontext(&here, &there);
}

void RunOnStack() {
  mine = &figures[part];
  Watch(&jumps, "jumps");
  HandleInterrupts(0, OnHit);
  switch (stack) {
    case kThreadStack:
      return RunInThread();
    case kAlternateStack:
      return RunWithAlternateStack();
    case kUserStack:
      return RunOnUserStack();
    default:
      return Run();
  }
}

// So many jumps at a time as the heap can stand.
void RunPart(Part which, long count) {
  part = which;
  const long portion = IsMapped() ? count : part == kSmall ? 1000 : 30;
  for (int i = 0; i < kNumStacks; ++i) {
    stack = static_cast<Stack>(i);
    for (long done = 0; done < count; done += portion) {
      wanted = count - done < portion ? count - done : portion;
      choices = Random(static_cast<uint64_t>(done + 1));
      InChild(RunOnStack);
    }
  }
}

void Report(Part which, const char* name, Place places) {
  const Figures& found = figures[which];
  Print(
      "%s: %ld jumps from %d places, %ld of them out of nested handlers; each "
      "lost %ld bytes of memory, %ld of the heap; a malloc and a free take %d "
      "instructions before, %d at most after",
      name, found.jumps, places, found.nested, found.resident / found.jumps,
      found.heap / found.jumps, found.instructions, found.slowest);
}

int Main(long count) {
  ForbidHugePages();
  figures = static_cast<Figures*>(MapShared(kNumParts * sizeof(Figures)));
  HandleInterrupts(0, OnHit);
  InChild(RunOnStack);
  RunPart(kSmall, count);
  RunPart(kLarge, count / 100);
  Report(kSmall, "small blocks", figures[kLearn].small_places);
  Report(kLarge, "large blocks, trim", NumPlaces());
  const Figures& small = figures[kSmall];
  const long lost = IsMapped() ? small.resident : small.heap;
  if (lost > kMaxLostPerJump * small.jumps) Fail("too much is lost");
  return 0;
}

}  // namespace
}  // namespace abandon

int main(int argc, char** argv) {
  return abandon::Main(argc > 1 ? atol(argv[1]) : 12500);
}
