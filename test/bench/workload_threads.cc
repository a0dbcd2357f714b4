// Workloads with so many threads that what each of them costs counts.
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workload.h"

namespace bench {
namespace {

sem_t has_worked;
sem_t may_end;

enum class Fate : intptr_t { kEnds, kWaits, kVanishes };

void* Work(void* argument) {
  const auto fate = static_cast<Fate>(reinterpret_cast<intptr_t>(argument));
  Block* blocks[10];
  size_t size = 0;
  for (Block*& block : blocks) block = Block::New(size += 50);
  // A thread that vanishes leaves one.
  for (Block*& block : blocks) {
    if (fate == Fate::kVanishes && &block == blocks) continue;
    Block::Delete(block);
  }
  sem_post(&has_worked);
  if (fate == Fate::kWaits) {
    while (sem_wait(&may_end) != 0) {
    }
  }
  if (fate == Fate::kVanishes) syscall(SYS_exit, 0);
  return nullptr;
}

// Threads come one after the other and work, and have the fates that `fate`
// says by their number. Those that wait end when the last one has worked.
template <typename F>
void ComeAndGo(int count, F fate) {
  sem_init(&has_worked, 0, 0);
  sem_init(&may_end, 0, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  // Few mappings, of which a process may have 65,530.
  pthread_attr_setstacksize(&attributes, 64 << 10);
  pthread_attr_setguardsize(&attributes, 0);
  std::vector<pthread_t> waiting;
  for (int n = 0; n < count; ++n) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, Work,
                       reinterpret_cast<void*>(fate(n))) != 0) {
      Die("no more threads: see threads-max and pid_max in /proc/sys/kernel");
    }
    while (sem_wait(&has_worked) != 0) {
    }
    if (fate(n) == Fate::kWaits) {
      waiting.push_back(thread);
    } else {
      pthread_join(thread, nullptr);
    }
  }
  for (size_t n = 0; n < waiting.size(); ++n) sem_post(&may_end);
  for (const pthread_t thread : waiting) pthread_join(thread, nullptr);
}

void ManyThreads(int threads, long) {
  ComeAndGo(threads, [](int) { return Fate::kWaits; });
}

void MixedThreads(int threads, long) {
  ComeAndGo(threads, [](int n) {
    constexpr Fate kFates[] = {Fate::kWaits, Fate::kVanishes, Fate::kEnds};
    return kFates[n % 3];
  });
}

}  // namespace

const Workload kThreadWorkloads[] = {
    {"many-threads", ManyThreads, 0},
    {"mixed-threads", MixedThreads, 0},
    {},
};

}  // namespace bench
