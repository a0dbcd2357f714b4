// A model of memory that is as weak as C++ allows, in which the real code runs.
// README.md says how it searches.
//
// Everything here is for one operating-system thread: the threads of a case are
// contexts that take turns, and change places before atomic operations only.
#ifndef AOMALLOC_TEST_WEAK_MODEL_H_
#define AOMALLOC_TEST_WEAK_MODEL_H_

#include <cstddef>
#include <string>
#include <vector>

using AO_t = size_t;

namespace aomalloc {

// Stands in for the word of core/base/atomics.h. Plain reads and writes of it
// are relaxed operations. Instructions that are written out (claim.h) reach the
// memory of the word, which holds its newest value.
class AtomicWord {
 public:
  AtomicWord() = default;
  constexpr AtomicWord(AO_t value)  // NOLINT(google-explicit-constructor)
      : raw_(value) {}
  AtomicWord(const AtomicWord&) = delete;
  operator AO_t() const;  // NOLINT(google-explicit-constructor)
  AtomicWord& operator=(AO_t value);

 private:
  AO_t raw_;
};

namespace weak {

// What an operation orders, as two bits.
enum Order : unsigned {
  kRelaxed = 0,
  kAcquire = 1,
  kRelease = 2,
  kFull = 3,
};

// A place in the source from which an atomic operation is called.
struct Site {
  const char* file;
  int line;
  const char* function;
  const char* operation;
  Order order;
};

AO_t Load(const AtomicWord* word, const Site& site);
void Store(AtomicWord* word, AO_t value, const Site& site);
bool Cas(AtomicWord* word, AO_t expected, AO_t desired, const Site& site);
// Sets the word to change(what it was, operand), and returns what it was.
using Change = AO_t(AO_t, AO_t);
AO_t Exchange(AtomicWord* word, Change* change, AO_t operand, const Site& site);

// Of a lock of the kernel's, which stands for one step: what the thread has
// done since it wrote to the word comes before what the next one does.
void HandOn(const AtomicWord* word);

// A barrier that all threads pass, each between two of its operations: what
// they have done before comes before what this one does next, and what this one
// has done before what they do next.
void PassAll();

// Called when a word is read plainly.
void Expose(const AtomicWord* word);

constexpr int kMaxThreads = 5;  // of a case

// A case. Its threads, 1 to `threads`, do Run after SetUp and before Check.
// What they and SetUp have written, here and elsewhere, is undone when they are
// done: so a case has no memory of its own, and uses no containers.
class Case {
 public:
  // `mortal`: a thread that may stop for ever, at each of its operations and
  // commits; 0: none. `bound`: in how many places an execution may deviate from
  // the one in which threads run one after the other and read the newest
  // values; 0: in any.
  Case(const char* name, int threads, int mortal = 0, int bound = 0)
      : name(name), threads(threads), mortal(mortal), bound(bound) {}
  virtual ~Case() = default;
  virtual void SetUp() {}
  virtual void Run(int thread) = 0;
  virtual void Check() {}

  const char* const name;
  const int threads;
  const int mortal;
  int bound;
};

// For cases.
void Expect(bool condition, const char* what);  // ends the search if false
int Self();                                     // the running thread
// Plain accesses of this memory do not race.
void IgnoreRaces(const void* address);
// True if the thread has stopped for ever. As the kernel's answer does, it
// orders what the thread has done before what follows.
bool HasStopped(int thread);
// Something that one context of the case counts: for litmus tests.
void NoteOutcome(unsigned outcome);

// What is left out at one site: a part of its order.
struct Weakening {
  size_t site = ~size_t{0};
  unsigned dropped = 0;
};

struct Result {
  size_t runs = 0;   // executions that went to their end
  size_t cut = 0;    // ... that turned out to repeat another
  size_t steps = 0;  // atomic operations in all of them
  bool complete = false;
  std::string failure;         // what failed, and how it came to that
  std::vector<bool> visited;   // by site
  std::vector<bool> outcomes;  // that were noted
};

// Searches the executions of a case, up to a failure.
Result Search(Case* c, const Weakening& weakening);

// The sites of all searches so far. Their numbers are those of this process.
const std::vector<Site>& Sites();

}  // namespace weak
}  // namespace aomalloc

#endif  // AOMALLOC_TEST_WEAK_MODEL_H_
