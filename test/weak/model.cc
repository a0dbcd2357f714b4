#include "test/weak/model.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <unordered_map>

#include "test/weak/races.h"
#include "test/weak/story.h"
#include "test/weak/thread_locals.h"
#include "test/weak/word.h"

namespace aomalloc::weak {
namespace {

constexpr int kFibers = kClocks;
constexpr size_t kStackBytes = size_t{128} << 10;
constexpr size_t kMostSteps = 20000;  // of one execution

// --- What an execution consists of.

enum class Kind { kNone, kLoad, kStore, kUpdate, kStop };

struct Operation {
  Kind kind = Kind::kNone;
  const void* word = nullptr;
};

struct Fiber {
  char* stack = nullptr;
  jmp_buf context;
  ucontext_t start;  // as getcontext made it, but for where it begins
  bool begun, runnable;
  Operation next;
  Clock clock;
  std::vector<char> variables;  // its thread-local variables
};

// --- The search. One choice after the other is replayed, and the last
// advanced.

struct Choice {
  int chosen, count;
};
std::vector<Choice> choices;
size_t depth;

Case* running;
bool inside = true;  // in code of the model, whose own accesses do not count
bool starting;
Weakening weakened;
Result* result;
jmp_buf explorer;

Fiber fibers[kFibers];
int self;
int deviations;   // that this execution may still have
unsigned asleep;  // threads whose next operation is tried elsewhere, as a set
size_t steps;

std::unordered_map<const void*, size_t> word_numbers;
std::vector<std::unique_ptr<Word>>
    words;  // kept from one execution to the next
size_t words_used;
std::vector<Word*> exposed;  // which instructions that are written out change
std::vector<Event> events;
// Words that a thread writes and another one uses, as far as the search has
// seen. Operations on others are no reason to change places.
std::set<const void*> contended;
bool learnt;            // ... in this execution: the search begins anew
AO_t stopped[kFibers];  // HasStopped

std::vector<Site> sites;
std::map<std::tuple<const char*, int, const char*>, size_t> site_numbers;

[[noreturn]] void End() { _longjmp(explorer, 1); }

int Choose(int count) {
  if (count == 1) return 0;
  if (depth == choices.size()) choices.push_back({0, count});
  if (choices[depth].count != count) {
    fprintf(stderr, "%s: not deterministic\n", running->name);
    abort();
  }
  return choices[depth++].chosen;
}

// The same, but other choices than the first one are deviations.
int ChooseOld(int count) {
  if (deviations == 0) return 0;
  const int chosen = Choose(count);
  if (chosen > 0 && running->bound != 0) --deviations;
  return chosen;
}

// --- Threads.

// Goes on in that thread. Returns when this one is chosen again.
void SwitchTo(int to) {
  if (to == self) return;
  Fiber& from = fibers[self];
  memcpy(from.variables.data(), thread_locals.start, thread_locals.bytes);
  self = to;
  LoadVariables(fibers[to].variables);
  if (_setjmp(from.context) != 0) return;
  if (fibers[to].begun) _longjmp(fibers[to].context, 1);
  fibers[to].begun = true;
  setcontext(&fibers[to].start);
}

bool AreIndependent(int a, int b) {
  const Operation& x = fibers[a].next;
  const Operation& y = fibers[b].next;
  if (x.kind == Kind::kStop || y.kind == Kind::kStop) {
    const int other = x.kind == Kind::kStop ? b : a;
    if (other == running->mortal) return false;
  }
  return x.word != y.word || (x.kind == Kind::kLoad && y.kind == Kind::kLoad);
}

// The thread that goes on; 0 when all have ended. A search without a bound
// leaves out threads whose operation was tried before, in the same state but
// for what does not matter to it (sleep sets). With a bound, to leave a thread
// that could go on is a deviation.
int PickAny() {
  int candidates[kFibers];
  int count = 0;
  bool any = false;
  for (int i = 0; i < kFibers; ++i) {
    const int thread = i == 0 ? self : i;  // this one first
    if (i == self || !fibers[thread].runnable || thread == 0) continue;
    any = true;
    if (deviations == 0 && count > 0 && candidates[0] == self) break;
    if ((asleep >> thread & 1) == 0) candidates[count++] = thread;
  }
  if (!any) return 0;
  if (count == 0) {
    ++result->cut;
    End();
  }
  const int chosen = Choose(count);
  if (running->bound != 0) {
    if (chosen > 0 && candidates[0] == self) --deviations;
    return candidates[chosen];
  }
  unsigned tried = asleep;
  for (int i = 0; i < chosen; ++i) tried |= 1u << candidates[i];
  asleep = 0;
  for (int i = 1; i < kFibers; ++i) {
    if ((tried >> i & 1) != 0 && AreIndependent(i, candidates[chosen])) {
      asleep |= 1u << i;
    }
  }
  return candidates[chosen];
}

Word* WordAt(const void* address) {
  const auto found = word_numbers.find(address);
  if (found != word_numbers.end()) return words[found->second].get();
  if (words_used == words.size()) words.push_back(std::make_unique<Word>());
  word_numbers[address] = words_used;
  Word* word = words[words_used++].get();
  word->raw = static_cast<const AO_t*>(address);
  word->writes.assign(1, {0, 0, *word->raw, Clock(), false});
  word->order.assign(1, 0);
  for (auto& seen : word->seen) seen.assign(1, {0, 0});
  word->users = 0;
  word->writers = 0;
  races::NoteWrite(address, sizeof(AO_t));
  return word;
}

void Stop(int thread) {
  Word* word = WordAt(&stopped[thread]);
  Fiber& it = fibers[thread];
  it.runnable = false;
  word->Newest().taken = true;
  word->order.push_back(static_cast<int>(word->writes.size()));
  word->writes.push_back({thread, ++it.clock[thread], 1, it.clock, false});
  stopped[thread] = 1;
  events.push_back({thread, 0, &stopped[thread], 0, 'S'});
}

int Pick() {
  while (true) {
    const int thread = PickAny();
    if (thread != kFibers - 1) return thread;
    fibers[thread].runnable = false;
    Stop(running->mortal);
  }
}

// Instructions that are written out may have changed words since the last
// operation.
void Absorb(Word* word) {
  if (*word->raw == word->Newest().value) return;
  word->seen[self].push_back(
      {fibers[self].clock[self], static_cast<int>(word->writes.size())});
  word->order.push_back(static_cast<int>(word->writes.size()));
  word->writes.push_back(
      {self, fibers[self].clock[self], *word->raw, Clock(), false});
}
void AbsorbAll() {
  for (Word* word : exposed) Absorb(word);
}

void Entry() {
  inside = false;
  running->Run(self);
  inside = true;
  AbsorbAll();
  fibers[self].runnable = false;
  fibers[self].next = Operation();
  SwitchTo(starting ? 0 : Pick());
}

// --- Operations.

bool IsAlone() { return running == nullptr; }

bool IsPrivate(const void* address) {
  return races::IsIn(address, thread_locals.start, thread_locals.bytes);
}

// The last place in the modification order that this thread knows of.
int Known(const Word& word) {
  int known = 0;
  for (int thread = 0; thread < kFibers; ++thread) {
    const auto& seen = word.seen[thread];
    size_t i = seen.size();
    while (seen[i - 1].time > fibers[self].clock[thread]) --i;
    known = std::max(known, word.PlaceOf(seen[i - 1].write));
  }
  return known;
}

size_t NumberOf(const Site& site) {
  const auto added = site_numbers.insert(
      {{site.file, site.line, site.operation}, sites.size()});
  if (added.second) sites.push_back(site);
  const size_t number = added.first->second;
  if (result->visited.size() <= number) result->visited.resize(number + 1);
  if (self != 0) result->visited[number] = true;
  return number;
}

// An operation that is about to be done.
class Step {
 public:
  Step(Kind kind, const AtomicWord* word, const Site& site) : address_(word) {
    inside = true;
    number_ = NumberOf(site);
    order_ = site.order;
    if (number_ == weakened.site) order_ &= ~weakened.dropped;
    // What this thread has done to words by itself, before others go on.
    AbsorbAll();
    fibers[self].next = {kind, word};
    if (self != 0 && (contended.count(word) != 0 || self == running->mortal)) {
      SwitchTo(starting ? 0 : Pick());
    }
    ++result->steps;
    if (++steps > kMostSteps) Fail("it does not end");
    word_ = WordAt(word);
    if (self != 0) NoteUse(kind);
    races::Atomic(word, sizeof(AO_t));
    ++clock()[self];
  }
  ~Step() { inside = false; }

  Word& word() { return *word_; }
  Clock& clock() { return fibers[self].clock; }

  // The values that may be read, newest first; `update`: and changed, if they
  // are `expected` or if there is no such value.
  int ChooseRead(bool update, const AO_t* expected) {
    int candidates[64];
    int count = 0;
    const int known = Known(*word_);
    for (int place = static_cast<int>(word_->order.size()); --place >= known;) {
      const int i = word_->order[static_cast<size_t>(place)];
      const Write& write = word_->writes[static_cast<size_t>(i)];
      const bool changes =
          update && (expected == nullptr || write.value == *expected);
      if (changes && write.taken) continue;
      if (count < 64) candidates[count++] = i;
    }
    return candidates[ChooseOld(count)];
  }

  AO_t Read(int index, bool acquires, char what) {
    const Write& write = word_->writes[static_cast<size_t>(index)];
    word_->seen[self].push_back({clock()[self], index});
    if (acquires) Join(&clock(), write.handed_on);
    Note(what, write.value);
    return write.value;
  }

  // Adds a write at `place` of the modification order. `before`: what it hands
  // on from the write that it has replaced.
  void Insert(size_t place, AO_t value, const Clock& before) {
    Clock handed_on = before;
    if ((order_ & kRelease) != 0) Join(&handed_on, clock());
    const int index = static_cast<int>(word_->writes.size());
    word_->writes.push_back({self, clock()[self], value, handed_on, false});
    word_->order.insert(
        word_->order.begin() + static_cast<std::ptrdiff_t>(place), index);
    word_->seen[self].push_back({clock()[self], index});
    *const_cast<AO_t*>(word_->raw) = word_->Newest().value;
    Note('w', value);
  }

  void Update(int index, AO_t value) {
    Write& write = word_->writes[static_cast<size_t>(index)];
    write.taken = true;
    const Clock before = write.handed_on;
    Insert(static_cast<size_t>(word_->PlaceOf(index)) + 1, value, before);
  }

  bool acquires() const { return (order_ & kAcquire) != 0; }

 private:
  void Note(char what, AO_t value) {
    events.push_back({self, number_, address_, value, what});
  }

  void NoteUse(Kind kind) {
    word_->users |= 1u << self;
    if (kind != Kind::kLoad) word_->writers |= 1u << self;
    const bool several = (word_->users & (word_->users - 1)) != 0;
    if (word_->writers == 0 || !several) return;
    if (!contended.insert(address_).second) return;
    learnt = true;
    End();
  }

  const AtomicWord* address_;
  size_t number_;
  unsigned order_;
  Word* word_;
};

AO_t* RawOf(const AtomicWord* word) {
  return reinterpret_cast<AO_t*>(const_cast<AtomicWord*>(word));
}

// --- One execution.

// Runs in a context of its own, so that its stack is known.
void RunCase() {
  inside = false;
  running->SetUp();
  inside = true;
  ++fibers[0].clock[0];
  starting = true;
  for (int i = 1; i <= running->threads; ++i) {
    fibers[i].clock = fibers[0].clock;
    fibers[i].runnable = true;
    SwitchTo(i);
  }
  starting = false;
  if (running->mortal != 0) {
    fibers[kFibers - 1].runnable = true;
    fibers[kFibers - 1].next = {Kind::kStop, &stopped[running->mortal]};
  }
  SwitchTo(Pick());
  for (int i = 1; i < kFibers; ++i) {
    ++fibers[i].clock[i];
    Join(&fibers[0].clock, fibers[i].clock);
  }
  inside = false;
  running->Check();
  inside = true;
  ++result->runs;
  End();
}

void Begin() {
  depth = 0;
  steps = 0;
  deviations = running->bound != 0 ? running->bound : -1;
  asleep = 0;
  self = 0;
  word_numbers.clear();
  words_used = 0;
  exposed.clear();
  events.clear();
  memset(stopped, 0, sizeof(stopped));
  for (int i = 0; i < kFibers; ++i) {
    Fiber& fiber = fibers[i];
    if (fiber.stack == nullptr) {
      fiber.stack = static_cast<char*>(malloc(kStackBytes));
      getcontext(&fiber.start);
    }
    fiber.variables = thread_locals.pristine;
    fiber.begun = false;
    fiber.runnable = false;
    fiber.next = Operation();
    fiber.clock = Clock();
    fiber.start.uc_stack = {fiber.stack, 0, kStackBytes};
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, i == 0 ? RunCase : Entry, 0);
  }
}

// True if there is another execution to be tried.
bool Advance() {
  while (!choices.empty()) {
    if (++choices.back().chosen < choices.back().count) return true;
    choices.pop_back();
  }
  return false;
}

}  // namespace

Result Search(Case* c, const Weakening& weakening) {
  FindThreadLocals();
  Result found;
  result = &found;
  weakened = weakening;
  choices.clear();
  contended.clear();
  do {
    running = c;
    Begin();
    races::Begin();
    if (_setjmp(explorer) == 0) {
      fibers[0].begun = true;
      setcontext(&fibers[0].start);
    }
    running = nullptr;
    inside = true;
    LoadVariables(thread_locals.pristine);
    races::Undo();
    if (learnt) {
      learnt = false;
      choices.clear();
      continue;
    }
    found.complete = found.failure.empty() && !Advance();
  } while (found.failure.empty() && !found.complete);
  return found;
}

const std::vector<Site>& Sites() { return sites; }

void Fail(const std::string& what) {
  inside = true;
  result->failure = what + "\n" + Story(events, sites);
  End();
}

void Expect(bool condition, const char* what) {
  if (!condition) Fail(what);
}

void MayStopHere() {
  if (self == 0 || self != running->mortal || inside) return;
  inside = true;
  AbsorbAll();
  fibers[self].next = {Kind::kLoad, nullptr};
  SwitchTo(starting ? 0 : Pick());
  inside = false;
}

void IgnoreRaces(const void* address) { races::Ignore(address); }

int Self() { return self; }
bool IsWatched() { return !inside; }
Clock& ClockOf(int thread) { return fibers[thread].clock; }
bool IsUnshared(const void* address) {
  if (IsPrivate(address)) return true;
  for (const Fiber& fiber : fibers) {
    if (races::IsIn(address, fiber.stack, kStackBytes)) return true;
  }
  return false;
}

void Expose(const AtomicWord* word) {
  if (IsAlone() || IsPrivate(word) || self != 0) return;
  inside = true;
  exposed.push_back(WordAt(word));
  inside = false;
}

void NoteOutcome(unsigned outcome) {
  inside = true;
  if (result->outcomes.size() <= outcome) result->outcomes.resize(outcome + 1);
  result->outcomes[outcome] = true;
  inside = false;
}

bool HasStopped(int thread) {
  const Site site = {__FILE__, __LINE__, "HasStopped", "kernel", kAcquire};
  return Exchange(
             reinterpret_cast<AtomicWord*>(&stopped[thread]),
             [](AO_t old, AO_t) { return old; }, 0, site) != 0;
}

void HandOn(const AtomicWord* word) {
  if (self == 0) return;
  inside = true;
  ++fibers[self].clock[self];
  Join(&WordAt(word)->Newest().handed_on, fibers[self].clock);
  inside = false;
}

void PassAll() {
  inside = true;
  AbsorbAll();
  // What comes after a thread's last operation comes before the barrier, too.
  for (int i = 1; i <= running->threads; ++i) ++fibers[i].clock[i];
  const Clock before = fibers[self].clock;
  for (int i = 1; i <= running->threads; ++i) {
    Join(&fibers[self].clock, fibers[i].clock);
    Join(&fibers[i].clock, before);
  }
  inside = false;
}

AO_t Load(const AtomicWord* word, const Site& site) {
  if (IsAlone() || IsPrivate(word)) return *RawOf(word);
  Step step(Kind::kLoad, word, site);
  return step.Read(step.ChooseRead(false, nullptr), step.acquires(), 'r');
}

void Store(AtomicWord* word, AO_t value, const Site& site) {
  if (IsAlone() || IsPrivate(word)) {
    *RawOf(word) = value;
    return;
  }
  Step step(Kind::kStore, word, site);
  // At the end, or anywhere behind what is known.
  const Word& it = step.word();
  size_t places[64];
  int count = 0;
  for (size_t place = it.order.size();
       place > static_cast<size_t>(Known(it)) && count < 64; --place) {
    const auto before = static_cast<size_t>(it.order[place - 1]);
    if (!it.writes[before].taken) places[count++] = place;
  }
  step.Insert(places[ChooseOld(count)], value, Clock());
}

bool Cas(AtomicWord* word, AO_t expected, AO_t desired, const Site& site) {
  if (IsAlone() || IsPrivate(word)) {
    if (*RawOf(word) != expected) return false;
    *RawOf(word) = desired;
    return true;
  }
  Step step(Kind::kUpdate, word, site);
  const int index = step.ChooseRead(true, &expected);
  const bool equal =
      step.word().writes[static_cast<size_t>(index)].value == expected;
  // One that fails orders nothing.
  step.Read(index, equal && step.acquires(), equal ? 'r' : 'f');
  if (equal) step.Update(index, desired);
  return equal;
}

AO_t Exchange(AtomicWord* word, Change* change, AO_t operand,
              const Site& site) {
  if (IsAlone() || IsPrivate(word)) {
    const AO_t old = *RawOf(word);
    *RawOf(word) = change(old, operand);
    return old;
  }
  Step step(Kind::kUpdate, word, site);
  const int index = step.ChooseRead(true, nullptr);
  const AO_t old = step.Read(index, step.acquires(), 'r');
  step.Update(index, change(old, operand));
  return old;
}

}  // namespace aomalloc::weak

namespace aomalloc {

AtomicWord::operator AO_t() const {
  weak::Expose(this);
  return weak::Load(this,
                    {__FILE__, __LINE__, "", "plain read", weak::kRelaxed});
}

AtomicWord& AtomicWord::operator=(AO_t value) {
  weak::Store(this, value,
              {__FILE__, __LINE__, "", "plain write", weak::kRelaxed});
  return *this;
}

}  // namespace aomalloc
