// deaths [COUNT]: COUNT threads, one after the other, end by the raw exit
// system call in the middle of an operation, while others allocate and free.
// What they held is freed by this one, and later threads must find the heaps
// they left.
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <new>

#include "test/abandoned_operations/common.h"
#include "test/abandoned_operations/interrupt.h"
#include "test/abandoned_operations/workload.h"

namespace abandon {
namespace {

constexpr long kMaxLostPerDeath = 8192;
// Lost at any time before there is no sense in going on.
constexpr long kTooMuch = 64 << 20;
constexpr int kLessons = 8;
constexpr int kCheckEvery = 100;
constexpr int kWorkers = 2;
// Operations tried until one gets to a place.
constexpr int kAttempts = 24;

struct Figures {
  long deaths;
  long resident;  // bytes lost
  long heap;
  long operations;  // of the others
};
Figures* figures;  // shared by all processes

// Of this process.
long wanted;
volatile long deaths;
Random choices(1);

// --- The threads that live.

volatile bool stop;
pthread_t workers[kWorkers];

void* Work(void* number) {
  const auto seed = reinterpret_cast<uintptr_t>(number);
  auto* workload = new (MapShared(sizeof(Workload))) Workload(seed);
  long operations = 0;
  while (!stop) {
    for (int i = 0; i < 500; ++i) workload->Operate();
    operations += 500;
    const timespec a_while = {0, 2000000};
    nanosleep(&a_while, nullptr);
  }
  __atomic_fetch_add(&figures->operations, operations, __ATOMIC_RELAXED);
  workload->GiveAll();
  return nullptr;
}

void StartWorkers() {
  for (uintptr_t i = 0; i < kWorkers; ++i) {
    if (pthread_create(&workers[i], nullptr, Work,
                       reinterpret_cast<void*>(i + 3)) != 0) {
      Fail("no thread");
    }
  }
}

void StopWorkers() {
  stop = true;
  for (const pthread_t worker : workers) pthread_join(worker, nullptr);
}

// --- The threads that die.

// What one leaves behind, in blocks of all sizes.
size_t EstateBytes() { return IsMapped() ? 256 * 1024 : 32 * 1024; }
Held estate[400];
Workload workload(2);

__thread volatile bool doomed;
volatile bool died;
volatile pid_t last_thread;
int lesson;
pthread_key_t end_key;

void OnHit() {
  if (!doomed) return;
  died = true;
  syscall(SYS_exit, 0);
}

// Runs after the allocator's own destructor: the end of the thread is exposed
// up to here, and later on signals are blocked.
void AtEnd(void*) {
  ClearTrap();
  exposed = false;
  learning = false;
  Disarm();
}

void ExposeEnd() {
  pthread_setspecific(end_key, &end_key);
  exposed = true;
}

void Acquire() {
  size_t bytes = 0;
  for (Held& held : estate) {
    const size_t size = 1 + choices.SkewedBelow(4 * Workload::MaxSize());
    if (bytes + size > EstateBytes()) return;
    held.Hold(malloc(size), size, &choices);
    bytes += size;
  }
}

void Inherit() {
  for (Held& held : estate) {
    if (held) free(held.LetGo());
  }
  workload.GiveAll();
}

// What the first operations of a thread go through, and its end.
void* Learn(void*) {
  last_thread = gettid();
  learning = true;
  for (int i = 0; i < 8; ++i) workload.Operate();
  if (lesson == 0) workload.Do(Workload::kSlabs);
  if (lesson == 1) workload.Do(Workload::kTrim);
  learning = false;
  Acquire();
  ExposeEnd();
  learning = true;
  SetTrap();
  return nullptr;
}

void* Die(void*) {
  last_thread = gettid();
  doomed = true;
  Place place = ChoosePlace(NumPlaces(), &choices);
  // At once, while it looks for a heap; at the end; or between.
  const size_t when = choices.Below(8);
  if (when < 2) {
    Arm(place);
    workload.Operate();
  }
  Acquire();
  if (when == 7) {
    ExposeEnd();
    Arm(place);
    return nullptr;
  }
  for (;; place = ChoosePlace(NumPlaces(), &choices)) {
    for (int i = 0; i < kAttempts; ++i) {
      Arm(place);
      workload.Operate();
    }
    Arm(place);
    workload.Do(choices.Below(2) == 0 ? Workload::kSlabs : Workload::kTrim);
  }
}

// Two stacks of our own, in turn: who vanishes gives none back. A stack that is
// used again makes a thread with the addresses of a dead one.
void RunToItsEnd(void* (*life)(void*)) {
  constexpr size_t kStackBytes = size_t{256} * 1024;
  static void* stacks[] = {MapShared(kStackBytes), MapShared(kStackBytes)};
  static int next;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stacks[next++ % 2], kStackBytes);
  pthread_t thread;
  if (pthread_create(&thread, &attributes, life, nullptr) != 0) {
    Fail("no thread");
  }
  // Over when the kernel has left the stack; a little later it is forgotten.
  pthread_join(thread, nullptr);
  while (syscall(SYS_tgkill, getpid(), last_thread, 0) == 0) sched_yield();
  Inherit();
}

// --- The processes.

void Measure(long sign) {
  malloc_trim(0);
  figures->resident += sign * static_cast<long>(ResidentBytes());
  figures->heap += sign * static_cast<long>(HeapBytes());
}

void Prepare() {
  Watch(&deaths, "deaths");
  HandleInterrupts(0, OnHit);
  if (NumPlaces() == 0) LearnFastPaths();
  free(malloc(1));  // the allocator's key comes first
  if (pthread_key_create(&end_key, AtEnd) != 0) Fail("no key");
}

void LearnPlaces() {
  Prepare();
  for (lesson = 0; lesson < kLessons; ++lesson) {
    RunToItsEnd(Learn);
    for (int i = 0; i < 4; ++i) RunToItsEnd(Die);
  }
}

void Run() {
  Prepare();
  StartWorkers();
  const size_t at_start = ResidentBytes();
  for (deaths = -wanted / 10; deaths < wanted;) {
    died = false;
    RunToItsEnd(Die);
    if (!died) continue;
    if (++deaths == 0) Measure(-1);
    if (deaths % kCheckEvery != 0) continue;
    Watch(&deaths, "deaths");
    const long more = static_cast<long>(ResidentBytes() - at_start);
    if (more > kTooMuch + kMaxLostPerDeath * deaths) {
      Fail("%ld bytes of memory more after %ld deaths", more, deaths);
    }
  }
  Measure(1);
  StopWorkers();
  figures->deaths += deaths;
}

int Main(long count) {
  ForbidHugePages();
  figures = static_cast<Figures*>(MapShared(sizeof(Figures)));
  HandleInterrupts(0, OnHit);
  InChild(LearnPlaces);
  // So many at a time as the heap can stand.
  const long portion = IsMapped() ? count : 500;
  for (long done = 0; done < count; done += portion) {
    wanted = count - done < portion ? count - done : portion;
    choices = Random(static_cast<uint64_t>(done + 1));
    InChild(Run);
  }
  const long resident = figures->resident / figures->deaths;
  const long heap = figures->heap / figures->deaths;
  Print(
      "%ld deaths at %d places; each lost %ld bytes of memory, %ld of the "
      "heap; others did %ld operations meanwhile",
      figures->deaths, NumPlaces(), resident, heap, figures->operations);
  if ((IsMapped() ? resident : heap) > kMaxLostPerDeath) {
    Fail("too much is lost");
  }
  return 0;
}

}  // namespace
}  // namespace abandon

int main(int argc, char** argv) {
  return abandon::Main(argc > 1 ? atol(argv[1]) : 4000);
}
