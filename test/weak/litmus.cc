// Litmus tests: the model allows what C++ allows (without values out of thin
// air), and nothing else.
#include <stdio.h>

#include <vector>

#include "core/base/atomics.h"
#include "test/weak/cases.h"

namespace aomalloc::weak {
namespace {

class Litmus;
using Code = void(Litmus* t, int thread);

// The outcome has what was read, a digit for each place: in 0x21 place 0 has 1
// and place 1 has 2.
class Litmus : public Case {
 public:
  Litmus(const char* name, int threads, Code* code,
         std::vector<unsigned> allowed)
      : Case(name, threads), allowed(std::move(allowed)), code_(code) {}
  void Run(int thread) override { code_(this, thread); }
  void Check() override {
    NoteOutcome(seen[0] | seen[1] << 4 | seen[2] << 8 | seen[3] << 12);
  }
  void Saw(int place, AO_t value) {
    seen[place] = static_cast<unsigned>(value);
  }

  const std::vector<unsigned> allowed;
  AtomicWord x = 0, y = 0;
  int data = 0;
  unsigned seen[4] = {};

 private:
  Code* const code_;
};

void MessagePassing(Litmus* t, int thread) {
  if (thread == 1) {
    StoreRelaxed(&t->x, 1);
    StoreRelease(&t->y, 1);
  } else {
    t->Saw(0, LoadAcquire(&t->y));
    t->Saw(1, LoadRelaxed(&t->x));
  }
}

void MessagePassingRelaxedRead(Litmus* t, int thread) {
  if (thread == 1) {
    StoreRelaxed(&t->x, 1);
    StoreRelease(&t->y, 1);
  } else {
    t->Saw(0, LoadRelaxed(&t->y));
    t->Saw(1, LoadRelaxed(&t->x));
  }
}

void MessagePassingRelaxedWrite(Litmus* t, int thread) {
  if (thread == 1) {
    StoreRelaxed(&t->x, 1);
    StoreRelaxed(&t->y, 1);
  } else {
    t->Saw(0, LoadAcquire(&t->y));
    t->Saw(1, LoadRelaxed(&t->x));
  }
}

void StoreBuffering(Litmus* t, int thread) {
  StoreRelease(thread == 1 ? &t->x : &t->y, 1);
  t->Saw(thread - 1, LoadAcquire(thread == 1 ? &t->y : &t->x));
}

void LoadBuffering(Litmus* t, int thread) {
  t->Saw(thread - 1, LoadRelaxed(thread == 1 ? &t->y : &t->x));
  StoreRelaxed(thread == 1 ? &t->x : &t->y, 1);
}

// Two threads need not agree on the order of two independent writes.
void Iriw(Litmus* t, int thread) {
  if (thread == 1) StoreRelease(&t->x, 1);
  if (thread == 2) StoreRelease(&t->y, 1);
  if (thread < 3) return;
  AtomicWord* first = thread == 3 ? &t->x : &t->y;
  AtomicWord* second = thread == 3 ? &t->y : &t->x;
  t->Saw(2 * (thread - 3), LoadAcquire(first));
  t->Saw(2 * (thread - 3) + 1, LoadAcquire(second));
}

void WriteToReadCausality(Litmus* t, int thread) {
  if (thread == 1) StoreRelaxed(&t->x, 1);
  if (thread == 2) {
    t->Saw(0, LoadRelaxed(&t->x));
    StoreRelease(&t->y, 1);
  }
  if (thread == 3) {
    t->Saw(1, LoadAcquire(&t->y));
    t->Saw(2, LoadRelaxed(&t->x));
  }
}

// Reads of one word do not go back.
void CoherenceOfReads(Litmus* t, int thread) {
  if (thread == 1) {
    StoreRelaxed(&t->x, 1);
    StoreRelaxed(&t->x, 2);
  } else {
    t->Saw(0, LoadRelaxed(&t->x));
    t->Saw(1, LoadRelaxed(&t->x));
  }
}

// Two threads that write and then read see one order of the writes.
void CoherenceOfWrites(Litmus* t, int thread) {
  StoreRelaxed(&t->x, static_cast<AO_t>(thread));
  t->Saw(thread - 1, LoadRelaxed(&t->x));
}

// Two words need not agree on which thread came last.
void TwoPlusTwoWrites(Litmus* t, int thread) {
  if (thread == 3) return;
  StoreRelaxed(thread == 1 ? &t->x : &t->y, 1);
  StoreRelaxed(thread == 1 ? &t->y : &t->x, 2);
}

// A read-modify-write continues a release sequence, and a store does not.
void SequenceOfUpdate(Litmus* t, int thread) {
  if (thread == 1) {
    StoreRelaxed(&t->x, 1);
    StoreRelease(&t->y, 1);
  }
  if (thread == 2) CasRelaxed(&t->y, 1, 2);
  if (thread == 3) {
    t->Saw(0, LoadAcquire(&t->y));
    t->Saw(1, LoadRelaxed(&t->x));
  }
}

void SequenceOfStore(Litmus* t, int thread) {
  if (thread == 1) {
    StoreRelaxed(&t->x, 1);
    StoreRelease(&t->y, 1);
    StoreRelaxed(&t->y, 2);
  } else {
    t->Saw(0, LoadAcquire(&t->y));
    t->Saw(1, LoadRelaxed(&t->x));
  }
}

// Of two updates one sees the other.
void Updates(Litmus* t, int thread) { t->Saw(thread - 1, CountRelaxed(&t->x)); }

void OneOfTwoSwaps(Litmus* t, int thread) {
  t->Saw(thread - 1, CasRelaxed(&t->x, 0, static_cast<AO_t>(thread)) ? 1 : 0);
}

class FinalWrites : public Litmus {
 public:
  using Litmus::Litmus;
  void Check() override {
    Saw(0, LoadRelaxed(&x));
    Saw(1, LoadRelaxed(&y));
    Litmus::Check();
  }
};

// Plain data that is handed over. Digit 0 says whether it was; the search ends
// if there is a race.
template <bool kAcquires, bool kReleases>
void HandOver(Litmus* t, int thread) {
  if (thread == 1) {
    t->data = 1;
    kReleases ? StoreRelease(&t->y, 1) : StoreRelaxed(&t->y, 1);
  } else if ((kAcquires ? LoadAcquire(&t->y) : LoadRelaxed(&t->y)) == 1) {
    t->Saw(0, static_cast<AO_t>(t->data));
  }
}

bool Differs(Litmus* t, bool races) {
  const Result result = Search(t, Weakening());
  std::vector<bool> expected;
  for (const unsigned outcome : t->allowed) {
    if (expected.size() <= outcome) expected.resize(outcome + 1);
    expected[outcome] = true;
  }
  if (races ? !result.failure.empty()
            : result.failure.empty() && result.outcomes == expected) {
    return false;
  }
  printf("litmus test %s: %s\n", t->name, result.failure.c_str());
  for (unsigned i = 0; i < result.outcomes.size(); ++i) {
    if (result.outcomes[i]) printf("  0x%x\n", i);
  }
  return true;
}

}  // namespace

bool CheckLitmusTests() {
  std::vector<unsigned> iriw;
  for (unsigned i = 0; i < 16; ++i) {
    iriw.push_back((i & 1) | (i & 2) << 3 | (i & 4) << 6 | (i & 8) << 9);
  }
  Litmus tests[] = {
      {"MP", 2, MessagePassing, {0x00, 0x10, 0x11}},
      {"MP, relaxed read",
       2,
       MessagePassingRelaxedRead,
       {0x00, 0x01, 0x10, 0x11}},
      {"MP, relaxed write",
       2,
       MessagePassingRelaxedWrite,
       {0x00, 0x01, 0x10, 0x11}},
      {"SB", 2, StoreBuffering, {0x00, 0x01, 0x10, 0x11}},
      // C++ allows 0x11, by which a value may come out of thin air.
      {"LB", 2, LoadBuffering, {0x00, 0x01, 0x10}},
      {"IRIW", 4, Iriw, iriw},
      // Place 2 may be 0 although place 1 is 1 only if place 0 is 0.
      {"WRC",
       3,
       WriteToReadCausality,
       {0x000, 0x010, 0x001, 0x100, 0x110, 0x101, 0x111}},
      {"CoRR", 2, CoherenceOfReads, {0x00, 0x10, 0x20, 0x11, 0x21, 0x22}},
      {"CoWR", 2, CoherenceOfWrites, {0x21, 0x11, 0x22}},
      {"release sequence, update",
       3,
       SequenceOfUpdate,
       {0x00, 0x10, 0x11, 0x12}},
      {"release sequence, store",
       2,
       SequenceOfStore,
       {0x00, 0x10, 0x11, 0x02, 0x12}},
      {"two updates", 2, Updates, {0x10, 0x01}},
      {"two swaps", 2, OneOfTwoSwaps, {0x10, 0x01}},
      {"hand over", 2, HandOver<true, true>, {0x0, 0x1}},
  };
  FinalWrites last("2+2W", 2, TwoPlusTwoWrites, {0x22, 0x21, 0x12, 0x11});
  Litmus racing[] = {
      {"hand over, relaxed read", 2, HandOver<false, true>, {}},
      {"hand over, relaxed write", 2, HandOver<true, false>, {}},
  };
  bool differs = Differs(&last, false);
  for (Litmus& test : tests) differs |= Differs(&test, false);
  for (Litmus& test : racing) differs |= Differs(&test, true);
  return !differs;
}

}  // namespace aomalloc::weak
