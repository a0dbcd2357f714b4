// full [COUNT [BYTES]]: a heap of BYTES (2 MiB without) that is kept full.
// Eight threads take what is left and give back a little, by operations at
// random that are interrupted by handlers that do the same, until COUNT
// handlers have run inside a call of the allocator: all get blocks, or null
// with ENOMEM. When all is freed half of the heap can be had at once.
//
// Then the heap is filled again, and a handler calls AO_malloc_enable_mmap
// while all are refused: whoever asks from then on gets what he asks for.
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "test/signal_storms/blocks.h"
#include "test/signal_storms/worker.h"

namespace storms {
namespace {

constexpr int kThreads = 8;
constexpr uint64_t kShortCount = 500;
constexpr size_t kMaxDelay = 50000;  // nanoseconds, until a timer goes off
constexpr size_t kLarge = size_t{8} << 20;

// What keeps the heap full.
constexpr size_t kBallast = size_t{1} << 15;
std::atomic<void*> ballast[kBallast];

void (*enable_mmap)();  // AO_malloc_enable_mmap of the library

std::atomic<int> ready{0};  // threads
std::atomic<bool> stop{false};
std::atomic<bool> enable{false};   // has a handler enable mmap
std::atomic<bool> enabled{false};  // it has
std::atomic<uint64_t> granted{0};  // since

// Takes more ballast, or now and then gives some back.
void MoveBallast(Random* random) {
  std::atomic<void*>* slot = &ballast[random->Below(kBallast)];
  if (random->Below(16) == 0) {
    free(slot->exchange(nullptr));
    return;
  }
  const size_t size = 16 + random->Below(random->Below(8) == 0 ? 9000 : 500);
  errno = 0;
  me->inside = size;
  void* block = malloc(size);
  me->inside = 0;
  if (block == nullptr && errno != ENOMEM) Fail("null, but errno is %d", errno);
  me->refused += block == nullptr;
  free(slot->exchange(block));
}

void Fill() {
  Random random(NewSeed());
  for (size_t i = 0; i < kBallast; ++i) {
    if (ballast[i] == nullptr) ballast[i] = malloc(64 + random.Below(200));
    if (ballast[i] == nullptr) return;
  }
  Fail("the heap does not fill");
}

void Empty() {
  FreeAll();
  for (auto& slot : ballast) free(slot.exchange(nullptr));
}

void Act(int) {
  Handling handling;
  if (!handling.MayAct()) return;
  Random random(NewSeed());
  if (enable.exchange(false)) {
    enable_mmap();
    enabled = true;
  }
  if (random.Below(2) == 0) ArmTimer(&random, kMaxDelay);
  for (size_t i = random.Below(6); i-- > 0;) {
    MoveBallast(&random);
    Operate(&random);
  }
}

void* Work(void*) {
  Enlist();
  MakeTimer();
  UseAlternateStack();
  Random random(NewSeed());
  ++ready;
  while (ready <= kThreads) sched_yield();  // until the heap is full
  while (!stop) {
    if (random.Below(8) == 0) ArmTimer(&random, kMaxDelay);
    MoveBallast(&random);
    Operate(&random);
    if (!enabled) continue;
    void* large = malloc(kLarge);
    if (large == nullptr) Fail("mmap is enabled, but there is no memory");
    free(large);
    ++granted;
  }
  Discharge();
  return nullptr;
}

template <typename Condition>
void RunUntil(Condition condition) {
  stop = false;
  ready = 0;
  pthread_t threads[kThreads];
  for (pthread_t& thread : threads) {
    if (pthread_create(&thread, nullptr, Work, nullptr) != 0) {
      Fail("pthread_create");
    }
  }
  // A thread needs memory to begin with.
  while (ready < kThreads) sched_yield();
  Fill();
  ++ready;
  while (!condition()) sched_yield();
  stop = true;
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
}

void Run(uint64_t count, size_t bytes) {
  enable_mmap = reinterpret_cast<void (*)()>(
      dlsym(RTLD_DEFAULT, "AO_malloc_enable_mmap"));
  if (enable_mmap == nullptr) Fail("the library is not loaded");
  Handle(kTimerSignal, SA_NODEFER | SA_ONSTACK, Act);
  WatchProgress();
  Enlist();
  RunUntil([count] { return Sum(&Worker::nested) >= count; });
  const uint64_t refused = Sum(&Worker::refused);
  if (refused == 0) Fail("nobody was refused");
  Empty();
  free(malloc(bytes));
  void* half = malloc(bytes / 2);
  if (half == nullptr) Fail("all is free, but not half of it can be had");
  free(half);
  if (getenv("AO_MALLOC_LIMIT") == nullptr) {
    RunUntil([] {
      enable = !enabled;
      return granted >= 1000;
    });
    Empty();
  }
  Discharge();
  SayFigures("; %lu large blocks after mmap was enabled",
             static_cast<unsigned long>(granted.load()));
}

}  // namespace
}  // namespace storms

int main(int argc, char** argv) {
  const size_t bytes =
      argc > 2 ? strtoul(argv[2], nullptr, 0) : size_t{2} << 20;
  storms::Run(storms::CountArgument(argc, argv, storms::kShortCount), bytes);
}
