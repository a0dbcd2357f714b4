// Programs whose transfers are known, to check the instrument.
//
//   known CASE ROUNDS
//   known clock
//
// Two threads work in turn: each waits until it is called, and then calls the
// other. What they wait with lies on lines of its own.
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cstdint>

namespace {

// What the cases write and read; transfers_test.py knows the names.
struct alignas(64) Line {
  volatile uint64_t words[8];
};
Line in_turn;                               // both write the same word
Line counted;                               // both add to the same word
Line false_sharing;                         // each writes a word of its own
Line padded[2];                             // each writes a line of its own
Line read_shared;                           // main writes it, both read it
Line producer_and_consumer;                 // one writes, the other reads
Line atomic_line;                           // both add, by an atomic operation
alignas(64) volatile char straddling[128];  // both write across two lines

struct alignas(64) Bell {
  sem_t semaphore;
};
Bell bells[2];

int rounds;
void (*step)(int me);

void InTurn(int me) { in_turn.words[0] = me; }
void Counted(int) { counted.words[0] = counted.words[0] + 1; }
void FalseSharing(int me) { false_sharing.words[me] = me; }
void Padded(int me) { padded[me].words[0] = me; }
void ReadShared(int) { (void)read_shared.words[0]; }
void ProducerAndConsumer(int me) {
  if (me == 0) {
    producer_and_consumer.words[0] = 1;
  } else {
    (void)producer_and_consumer.words[0];
  }
}
void Atomic(int) {
  __atomic_fetch_add(&atomic_line.words[0], 1, __ATOMIC_RELAXED);
}
void Straddling(int me) {
  const uint64_t word = me;
  __asm__ volatile("movq %1, %0"
                   : "=m"(*reinterpret_cast<volatile uint64_t*>(
                       reinterpret_cast<uintptr_t>(straddling) + 60))
                   : "r"(word));
}

const struct {
  const char* name;
  void (*step)(int me);
} kCases[] = {
    {"in-turn", InTurn},
    {"counted", Counted},
    {"false-sharing", FalseSharing},
    {"padded", Padded},
    {"read-shared", ReadShared},
    {"producer-and-consumer", ProducerAndConsumer},
    {"atomic", Atomic},
    {"straddling", Straddling},
};

double Milliseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e3 + now.tv_nsec * 1e-6;
}

// 0 if a million additions take some milliseconds by the clock, as they do
// without qemu.
int CheckClock() {
  volatile int sum = 0;
  const double begin = Milliseconds();
  for (int n = 0; n < 1000000; ++n) sum = sum + n;
  const double taken = Milliseconds() - begin;
  return taken > 0.1 && taken < 10 ? 0 : 1;
}

void* Work(void* argument) {
  const int me = argument != nullptr ? 1 : 0;
  for (int n = 0; n < rounds; ++n) {
    while (sem_wait(&bells[me].semaphore) != 0) {
    }
    step(me);
    sem_post(&bells[1 - me].semaphore);
  }
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "clock") == 0) return CheckClock();
  for (const auto& known : kCases) {
    if (argc == 3 && strcmp(argv[1], known.name) == 0) step = known.step;
  }
  if (step == nullptr) {
    fprintf(stderr, "usage: known CASE ROUNDS | clock\n");
    return 2;
  }
  rounds = atoi(argv[2]);
  read_shared.words[0] = 1;
  sem_init(&bells[0].semaphore, 0, 1);
  sem_init(&bells[1].semaphore, 0, 0);
  pthread_t threads[2];
  pthread_create(&threads[0], nullptr, Work, nullptr);
  pthread_create(&threads[1], nullptr, Work, &bells[1]);
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  return 0;
}
