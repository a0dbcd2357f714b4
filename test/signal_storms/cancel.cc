// cancel [COUNT]: threads that may be cancelled asynchronously while they are
// inside the allocator, and nowhere else, are cancelled at random moments until
// COUNT have been there. Others share their blocks and go on.
//
// A cancelled thread loses the block that it had in hand. Its heap must be
// found again, so the memory of the process stops growing.
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "test/signal_storms/blocks.h"
#include "test/signal_storms/worker.h"

namespace storms {
namespace {

constexpr int kVictims = 4;  // at a time
constexpr uint64_t kShortCount = 400;
constexpr uint64_t kMaxStaticCount = 150;
constexpr int kMaxSpinBits = 16;

// The largest block; what may be lost with each thread, slabs included that
// cannot be given back because of one lost block; and what is there anyway.
// Had each thread lost its heap, it would be some 500 KiB.
constexpr size_t kMaxSize = 2000;
constexpr size_t kMaxLost = size_t{8} << 10;
constexpr size_t kMaxResident = size_t{8} << 20;
constexpr size_t kMinRoom = size_t{512} << 10;

std::atomic<bool> stop{false};
thread_local bool may_be_cancelled = false;

void AllowCancelling(size_t size) {
  if (may_be_cancelled) pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
  me->inside = size;
}

void ForbidCancelling() {
  me->inside = 0;
  if (may_be_cancelled) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
}

void* GoOn(void*) {
  Enlist();
  Random random(NewSeed());
  for (unsigned i = 0; !stop; ++i) {
    Operate(&random);
    if (i % 16 == 0) sched_yield();
  }
  Discharge();
  return nullptr;
}

struct Victim {
  pthread_t thread;
  std::atomic<Worker*> worker;
};

void* BeCancelled(void* victim) {
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
  Enlist();
  static_cast<Victim*>(victim)->worker = me;
  may_be_cancelled = true;
  Random random(NewSeed());
  while (true) Operate(&random);
}

// Cancels some threads. Returns how many of them were inside the allocator.
int Cancel(Random* random) {
  Victim victims[kVictims];
  for (Victim& victim : victims) {
    victim.worker = nullptr;
    if (pthread_create(&victim.thread, nullptr, BeCancelled, &victim) != 0) {
      Fail("pthread_create");
    }
  }
  for (const Victim& victim : victims) {
    while (victim.worker == nullptr) sched_yield();
    const size_t spins =
        random->Below(size_t{1} << random->Below(kMaxSpinBits));
    for (volatile size_t i = 0; i < spins; i = i + 1) {
    }
    pthread_cancel(victim.thread);
  }
  int inside = 0;
  for (const Victim& victim : victims) {
    pthread_join(victim.thread, nullptr);
    Worker* gone = victim.worker;
    if (gone->inside != 0) ++inside;
    ForgetThoseOf(gone);
    gone->tid = 0;
  }
  return inside;
}

// How much memory the static heap has room for, in spans.
size_t Room() {
  constexpr size_t kPiece = size_t{16} << 10;
  static void* pieces[128];
  size_t count = 0;
  while (count < 128 && (pieces[count] = malloc(kPiece)) != nullptr) ++count;
  for (size_t i = 0; i < count; ++i) free(pieces[i]);
  return count * kPiece;
}

// With no block in use, all that is is what was lost.
void CheckLost(uint64_t cancelled) {
  malloc_trim(0);
  const size_t resident = ResidentBytes();
  SayFigures("; %lu threads cancelled there, %zu KiB resident in the end",
             cancelled, resident >> 10);
  if (resident > kMaxResident + cancelled * kMaxLost) {
    Fail("that is too much memory");
  }
  if (may_run_out && Room() < kMinRoom) Fail("the static heap is full of loss");
}

void Run(uint64_t count) {
  ForbidHugePages();
  WatchProgress();
  hooks = {AllowCancelling, ForbidCancelling};
  limits = {kMaxSize, 1};
  // What is lost cannot be had again.
  if (may_run_out && count > kMaxStaticCount) count = kMaxStaticCount;
  pthread_t other;
  if (pthread_create(&other, nullptr, GoOn, nullptr) != 0) {
    Fail("pthread_create");
  }
  Enlist();
  Random random(NewSeed());
  uint64_t inside = 0;
  while (inside < count) {
    inside += Cancel(&random);
    Operate(&random);
  }
  stop = true;
  pthread_join(other, nullptr);
  FreeAll();
  Discharge();
  CheckLost(inside);
}

}  // namespace
}  // namespace storms

int main(int argc, char** argv) {
  storms::Run(storms::CountArgument(argc, argv, storms::kShortCount));
}
