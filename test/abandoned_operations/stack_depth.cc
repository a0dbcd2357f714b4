// stack_depth: how much of a small alternate stack the entry points use in a
// handler. The stack is painted before; what is no longer as painted afterwards
// was used. Then all of it once more on a stack that has no more than that,
// with no memory below.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test/abandoned_operations/common.h"
#include "test/abandoned_operations/entry_points.h"
#include "test/abandoned_operations/interrupt.h"
#include "test/abandoned_operations/workload.h"

namespace abandon {
namespace {

// What an entry point may take, beside what the kernel and an empty handler do.
// A stack of sysconf(_SC_MINSIGSTKSZ) bytes and so many is enough for a handler
// that does nothing but call us.
constexpr size_t kMaxDepth = 1280;

constexpr size_t kRoomyBytes = size_t{16} * 1024;
constexpr unsigned char kPaint = 0xa5;

struct Figures {
  size_t empty;                 // bytes that a handler uses that does nothing
  size_t interrupted;           // and OnHit, if it does nothing
  size_t deepest[kNumEntries];  // bytes that the allocator uses
  long calls;
};
Figures* figures;  // shared by all processes

// Of this process.
volatile long calls;
char* stack;  // the alternate stack of the thread, lowest address
size_t stack_bytes;

void UseAlternateStack(size_t bytes) {
  const auto page = static_cast<size_t>(getpagesize());
  stack_bytes = bytes;
  stack = static_cast<char*>(MapShared(page + bytes)) + page;
  if (mprotect(stack - page, page, PROT_NONE) != 0) Fail("mprotect");
  stack_t alternate{};
  alternate.ss_sp = stack;
  alternate.ss_size = bytes;
  if (sigaltstack(&alternate, nullptr) != 0) Fail("sigaltstack");
}

void Paint() { memset(stack, kPaint, stack_bytes); }

size_t BytesUsed() {
  size_t unused = 0;
  while (unused < stack_bytes &&
         static_cast<unsigned char>(stack[unused]) == kPaint) {
    ++unused;
  }
  return stack_bytes - unused;
}

void Note(Entry entry, size_t without) {
  const size_t used = BytesUsed();
  const size_t depth = used > without ? used - without : 0;
  if (depth > figures->deepest[entry]) figures->deepest[entry] = depth;
}

// --- Handlers that interrupt the program, each operation on its own path.

const Case* current;
void (*volatile operation)();

void OnSignal(int) { operation(); }

// The operation in a handler.
void Raise(void (*what)()) {
  operation = what;
  Paint();
  raise(SIGUSR1);
  ++calls;
}

void* RunCase(void*) {
  UseAlternateStack(stack_bytes);
  Raise(current->operation);
  Note(current->entry, figures->empty);
  ++figures->calls;
  return nullptr;
}

void HandleSignals() {
  Watch(&calls, "calls");
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR1, &action, nullptr);
}

void RunCaseInProcess() {
  HandleSignals();
  current->prepare();
  if (current->in_new_thread) {
    RunInThread(RunCase);
  } else {
    RunCase(nullptr);
  }
}

// --- Handlers that interrupt operations anywhere, and those that come after
// one was abandoned.

constexpr int kProcesses = 16;
constexpr int kHits = 300;
constexpr int kAttempts = 24;

Random choices(1);
Workload workload(2);
sigjmp_buf environment;
bool leaves;

void OnHit() {
  operation();
  ++calls;
  if (leaves) siglongjmp(environment, 1);
}

// Interrupts an operation at the place by a handler that does `what`. False if
// none gets there.
bool Interrupt(Place place, void (*what)()) {
  const long before = calls;
  operation = what;
  for (int i = 0; i < kAttempts && calls == before; ++i) {
    Paint();
    if (sigsetjmp(environment, 0) == 0) {
      Arm(place);
      workload.Operate();
      Disarm();
    }
  }
  return calls != before;
}

void LearnPlaces() {
  HandleSignals();
  UseAlternateStack(stack_bytes);
  HandleInterrupts(SA_ONSTACK, OnHit);
  Learn(&workload);
}

void FindBaselines() {
  HandleSignals();
  UseAlternateStack(stack_bytes);
  Raise([] {});
  figures->empty = BytesUsed();
  HandleInterrupts(SA_ONSTACK, OnHit);
  while (!Interrupt(ChoosePlace(1, &choices), [] {})) {
  }
  figures->interrupted = BytesUsed();
}

void RunInterrupted() {
  HandleSignals();
  UseAlternateStack(stack_bytes);
  HandleInterrupts(SA_ONSTACK, OnHit);
  while (calls < kHits) {
    const Case& call = kAnyTime[choices.Below(kNumAnyTime)];
    leaves = choices.Below(2) == 0;
    if (!Interrupt(ChoosePlace(NumPlaces(), &choices), call.operation)) {
      continue;
    }
    Note(call.entry, figures->interrupted);
    if (!leaves) continue;
    Raise(call.operation);
    Note(call.entry, figures->empty);
  }
  figures->calls += calls;
}

// --- All of it.

void RunAll() {
  for (size_t i = 0; i < kNumCases; ++i) {
    current = &kCases[i];
    InChild(RunCaseInProcess);
  }
  for (int i = 0; i < kProcesses; ++i) {
    choices = Random(static_cast<uint64_t>(i + 1));
    InChild(RunInterrupted);
  }
}

int Main() {
  figures = static_cast<Figures*>(MapShared(sizeof(Figures)));
  HandleInterrupts(SA_ONSTACK, OnHit);
  stack_bytes = kRoomyBytes;
  InChild(LearnPlaces);
  InChild(FindBaselines);
  RunAll();
  char depths[400] = "";
  bool too_deep = false;
  for (int i = 0; i < kNumEntries; ++i) {
    const size_t length = strlen(depths);
    snprintf(depths + length, sizeof depths - length, ", %s %zu",
             kEntryNames[i], figures->deepest[i]);
    too_deep = too_deep || figures->deepest[i] > kMaxDepth;
  }
  Print("bytes of stack: an empty handler %zu, beside that%s", figures->empty,
        depths + 1);
  if (too_deep) Fail("more than %zu bytes", kMaxDepth);

  stack_bytes = static_cast<size_t>(sysconf(_SC_MINSIGSTKSZ)) + kMaxDepth;
  if (figures->interrupted > figures->empty) {
    stack_bytes += figures->interrupted - figures->empty;
  }
  RunAll();
  Print("%ld calls in handlers, half of them on a stack of %zu bytes",
        figures->calls, stack_bytes);
  return 0;
}

}  // namespace
}  // namespace abandon

int main() { return abandon::Main(); }
