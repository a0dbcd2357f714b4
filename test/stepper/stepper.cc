// Runs each scenario with something happening at each instruction boundary.
//
//   stepper --library PATH [--env static|mmap|huge|profile|rations]
//           [--mode NAME,...] [--full] [--scenario NAME,...] [--stride N]
//           [--each N] [--deadline SECONDS]
//
// The path of an operation is recorded by single-stepping. Then, for each
// boundary on it that is planned for (plan.h, where the options are described),
// the operation is run again in a fresh process and stopped there (tracer.h).
// In the mode crash the library runs with AO_MALLOC_DUMP_SIGNAL=SEGV.
// In the modes of calls.h, system calls of the library are made to fail.
// Library "none" is the C library's own malloc.
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <initializer_list>
#include <new>

#include "test/stepper/calls.h"
#include "test/stepper/plan.h"
#include "test/stepper/scenarios.h"
#include "test/stepper/shared.h"
#include "test/stepper/stage.h"
#include "test/stepper/symbols.h"
#include "test/stepper/tracer.h"

namespace stepper {
namespace {

// Abandoned operations whose cost is counted, and others before them. There is
// room for few that each lose a span of the static heap, or very much memory.
struct Runs {
  int settling;
  int counted;
};
constexpr Runs kRuns = {10, 50};
constexpr Runs kFewRuns = {2, 10};
constexpr size_t kMuchLoss = size_t{16} << 20;
constexpr int kRunners = 2;
// Failures of one scenario in one mode that are shown, and after which it is
// given up.
constexpr int kShown = 4;
constexpr int kEnough = 12;
constexpr int kDelayStep = 8;

struct Options {
  const char* library = nullptr;
  const char* env = nullptr;  // all if null
  const char* modes = nullptr;
  const char* scenarios = nullptr;
};
Options options;

// What a runner found out; shared with the process that started it.
struct Result {
  bool done = false;
  int boundaries = 0;  // on the path
  int tried = 0;
  int failed = 0;
  long growth = 0;  // the most, kLongjmp
  long bound = 0;
};
Result* results;  // by scenario and mode
Path path;

Result& ResultOf(size_t scenario, int mode) {
  return results[scenario * kNumModes + static_cast<size_t>(mode)];
}

bool IsListed(const char* list, const char* name) {
  if (list == nullptr) return true;
  const size_t length = strlen(name);
  for (const char* at = list; (at = strstr(at, name)) != nullptr; ++at) {
    const bool starts = at == list || at[-1] == ',';
    if (starts && (at[length] == '\0' || at[length] == ',')) return true;
  }
  return false;
}

bool IsOurs() { return strstr(options.library, "libaomalloc") != nullptr; }
// The paths are those of the plain library.
bool IsPlain() { return strstr(options.library, "libaomalloc.so") != nullptr; }

bool Applies(const Scenario& scenario, Mode mode) {
  const unsigned flags = scenario.flags;
  if ((flags & environment) == 0) return false;
  if ((flags & kOursOnly) != 0 && !IsOurs()) return false;
  if (!IsListed(options.scenarios, scenario.name)) return false;
  if ((flags & kForCalls) != 0 && !IsFailing(mode)) return false;
  switch (mode) {
    case Mode::kPark:
    case Mode::kKill:
      return (flags & kOnMain) == 0;  // nobody is there to carry on
    case Mode::kLongjmp:
      return (flags & kAtExit) == 0;  // nowhere to jump to
    case Mode::kCrash:
      return IsOurs();
    default:
      return true;
  }
}

// Blocks beside those of the scenario show what befalls others. Not where the
// state that was prepared, or the want of any, would suffer.
bool IsStocked(const Scenario& scenario) {
  return scenario.prepare == nullptr &&
         (scenario.flags & (kOnMain | kRunsOut)) == 0;
}

// --- The path.

bool PathHas(const char* function) {
  for (size_t i = 0; i < path.length; ++i) {
    if (strstr(FunctionAt(path.pcs[i]), function) != nullptr) return true;
  }
  return false;
}

bool PathIsAsMeant(const Scenario& scenario) {
  if (!IsPlain()) return true;
  for (const char* function : scenario.must) {
    if (function != nullptr && !PathHas(function)) {
      Print("FAILED %s: does not reach %s\n", scenario.name, function);
      return false;
    }
  }
  for (const char* function : scenario.must_not) {
    if (function != nullptr && PathHas(function)) {
      Print("FAILED %s: leads through %s\n", scenario.name, function);
      return false;
    }
  }
  return true;
}

// Of no instruction yet.
Visits& FreshVisits() {
  static Visits& visits = *new (MapShared(sizeof(Visits))) Visits;
  visits.Clear();
  return visits;
}

// Turns the path into the boundaries to try, in place of a list of them:
// `visit` is called with each.
template <typename Visit>
void ForEachBoundary(Visit visit) {
  Visits& visits = FreshVisits();
  for (size_t i = 0; i < path.length; ++i) {
    const uintptr_t pc = path.pcs[i];
    const unsigned number = visits.Add(pc);
    if (!IsOfPlan(number)) continue;
    if (!visit(Boundary{pc, number, static_cast<unsigned>(i)})) return;
  }
}

// --- Trials.

void DescribeCrash(const Outcome& outcome, char* text, size_t size) {
  text[0] = '\0';
  if (outcome.crash_pc == 0) return;
  int length =
      snprintf(text, size, ", crashed in %s", Describe(outcome.crash_pc));
  if (InLibrary(outcome.crash_pc) || !InLibrary(outcome.crash_caller)) return;
  snprintf(text + length, size - static_cast<size_t>(length), ", called by %s",
           Describe(outcome.crash_caller));
}

void ReportFailure(const Scenario& scenario, Mode mode,
                   const Boundary& boundary, size_t nested_step,
                   const Outcome& outcome) {
  char nested[40] = "";
  if (mode == Mode::kNested) {
    snprintf(nested, sizeof nested, ", then %zu", nested_step);
  }
  char crash[1000];
  DescribeCrash(outcome, crash, sizeof crash);
  Print("FAILED %s %s %s: before %s, visit %u, step %u%s: %s%s\n", Stage(),
        scenario.name, kModeNames[static_cast<int>(mode)],
        Describe(boundary.pc), boundary.visit, boundary.step, nested,
        outcome.message, crash);
}

Runs RunsOf(const Scenario& scenario) {
  const bool loses_much = scenario.loss > (mapped ? kMuchLoss : 0);
  return loses_much ? kFewRuns : kRuns;
}

long LossOf(const Scenario& scenario) {
  if (scenario.loss != 0) return static_cast<long>(scenario.loss);
  return mapped ? 65536 : 8 * 4096;
}

// Tries one boundary; false if it failed.
bool Try(const Scenario& scenario, Mode mode, const Boundary& boundary,
         size_t nested_step, Result* result, Outcome* outcome) {
  const auto variant = static_cast<int>(boundary.step);
  Trial what = {&scenario, mode, 1, 1, variant, IsOurs(), 0, false, 0, 0};
  const Runs runs = RunsOf(scenario);
  if (mode == Mode::kLongjmp) {
    what.iterations = runs.settling + runs.counted;
    what.settled = runs.settling;
  }
  *outcome = Run(what, boundary, nested_step, nullptr);
  ++result->tried;
  if (outcome->ok && !outcome->reached) {
    outcome->ok = false;
    snprintf(outcome->message, sizeof outcome->message, "not reached again");
  }
  if (mode == Mode::kLongjmp && outcome->ok) {
    if (outcome->growth > result->growth) result->growth = outcome->growth;
    if (outcome->growth > result->bound) {
      outcome->ok = false;
      snprintf(outcome->message, sizeof outcome->message,
               "%d abandoned operations cost %ld bytes, more than %ld",
               runs.counted, outcome->growth, result->bound);
    }
  }
  if (outcome->ok) return true;
  if (++result->failed <= kShown) {
    ReportFailure(scenario, mode, boundary, nested_step, *outcome);
  }
  return false;
}

// One error of one call. Where the call asks whether an operation is under way,
// that is stopped at some of its instructions from the claim on: as near to one
// another as a block's being looked at and its being taken. What is the same
// with one error as with the next takes long: it is done more thoroughly with
// the `first`.
Outcome TryError(const Scenario& scenario, Mode mode, const Call& call,
                 const Boundary& boundary, const Error& error, bool first,
                 Result* result) {
  Trial what = {&scenario, mode, 1, 1, first ? 2 : 1, IsOurs()};
  what.error = error.number;
  what.is_stocked = IsStocked(scenario);
  what.call = call.number;
  const bool stopped = AsksForClaimant(call) &&
                       (scenario.flags & kInHandler) != 0 &&
                       (scenario.flags & kTakeOver) == 0;
  while (true) {
    Outcome outcome = Run(what, boundary, 0, nullptr);
    // The claim has been released.
    if (what.delay > 0 && outcome.ok && !outcome.reached) {
      outcome.reached = true;
      return outcome;
    }
    ++result->tried;
    if (!stopped || !outcome.ok || !outcome.reached) return outcome;
    what.delay += kDelayStep;
    what.variant = 1;
  }
}

// Has the `index`-th system call of the path fail with the errors planned for,
// others in each scenario and mode. What fails is shown call by call: for which
// errors, and what became of the last.
void TryCall(const Scenario& scenario, Mode mode, size_t index, unsigned visit,
             Result* result) {
  const Call& call = path.calls[index];
  const Boundary boundary = {call.pc, 0, static_cast<unsigned>(index)};
  const Error* possible[kNumErrors];
  size_t num_possible = 0;
  for (const Error& error : kErrors) {
    if (CanFailWith(call, mode, error.number)) {
      possible[num_possible++] = &error;
    }
  }
  const size_t count = CountErrors(call.pc, mode, visit, num_possible);
  const size_t turn = static_cast<size_t>(&scenario - kScenarios) +
                      static_cast<size_t>(mode) + visit;
  char errors[100] = "";
  Outcome worst;
  for (size_t i = 0; i < count; ++i) {
    const Error& error = *possible[(turn + i) % num_possible];
    const Outcome outcome = TryError(scenario, mode, call, boundary, error,
                                     visit == 1 && i == 0, result);
    if (outcome.ok && outcome.reached) continue;
    ++result->failed;
    worst = outcome;
    if (outcome.ok) {
      snprintf(worst.message, sizeof worst.message, "not reached again");
    }
    const size_t length = strlen(errors);
    snprintf(errors + length, sizeof errors - length, " %s", error.name);
  }
  if (errors[0] == '\0') return;
  char crash[1000];
  DescribeCrash(worst, crash, sizeof crash);
  Print("FAILED %s %s %s: %s, call %zu of %zu, in %s:%s: %s%s\n", Stage(),
        scenario.name, kModeNames[static_cast<int>(mode)], NameOf(call),
        index + 1, path.num_calls, Describe(call.pc), errors, worst.message,
        crash);
}

void TryCalls(const Scenario& scenario, Mode mode, Result* result) {
  Visits& visits = FreshVisits();
  for (size_t i = 0; i < path.num_calls; ++i) {
    const Call& call = path.calls[i];
    if (NameOf(call) == nullptr) {
      Print("FAILED %s: system call %ld in %s: how does it fail?\n",
            scenario.name, call.number, Describe(call.pc));
      ++result->failed;
    }
    if (!CanFail(call, mode)) continue;
    const unsigned visit = visits.Add(call.pc);
    if (!IsCallOfPlan(visit)) continue;
    if (result->boundaries++ % plan.stride != 0) continue;
    TryCall(scenario, mode, i, visit, result);
  }
}

// Interrupts the handler's malloc too: at each of its instructions, or in the
// short form at three of them, different ones for each boundary.
void TryNested(const Scenario& scenario, const Boundary& boundary,
               Result* result) {
  Outcome outcome;
  if (!Try(scenario, Mode::kNested, boundary, ~size_t{0}, result, &outcome)) {
    return;
  }
  const size_t length = outcome.nested_length;
  const size_t stride = plan.full ? 1 : length / 3 + 1;
  for (size_t step =
           plan.full ? 0 : static_cast<size_t>(result->boundaries) % stride;
       step < length; step += stride) {
    if (!Try(scenario, Mode::kNested, boundary, step, result, &outcome)) return;
    if (result->failed >= kEnough) return;
  }
}

// Modes for which an operation is recorded in the same way.
enum class Recording { kPlain, kOnStack, kStocked };
Recording RecordingFor(Mode mode) {
  if (IsFailing(mode)) return Recording::kStocked;
  return mode == Mode::kOnStack ? Recording::kOnStack : Recording::kPlain;
}

// Those of them that are tried share a runner: calls `visit` with each.
template <typename Visit>
void ForEachMode(size_t index, Recording recording, Visit visit) {
  for (int i = 1; i < kNumModes; ++i) {
    const Mode mode = static_cast<Mode>(i);
    if (RecordingFor(mode) == recording &&
        IsListed(options.modes, kModeNames[i]) &&
        Applies(kScenarios[index], mode)) {
      visit(mode);
    }
  }
}

// Whether the mode is tried, and is the first of those that share a runner.
bool StartsRunner(size_t index, Mode mode) {
  Mode first = Mode::kRecord;  // none
  ForEachMode(index, RecordingFor(mode), [&first](Mode other) {
    if (first == Mode::kRecord) first = other;
  });
  return first == mode;
}

void TryBoundaries(size_t index, Mode mode, Result* result) {
  const Scenario& scenario = kScenarios[index];
  size_t count = 0;
  ForEachBoundary([&count](const Boundary&) { return ++count > 0; });
  if (count == 0) {
    Print("FAILED %s: no instruction to try\n", scenario.name);
    result->failed = 1;
    return;
  }
  ForEachBoundary([&](const Boundary& boundary) {
    const bool is_due = IsDue(boundary.pc, mode);
    const auto number = static_cast<size_t>(result->boundaries++);
    if (!is_due && !IsOfPart(number, count, index, mode)) return true;
    Outcome outcome;
    if (mode == Mode::kNested) {
      TryNested(scenario, boundary, result);
    } else {
      Try(scenario, mode, boundary, 0, result, &outcome);
    }
    return result->failed < kEnough;
  });
}

void TryMode(size_t index, Mode mode) {
  const Scenario& scenario = kScenarios[index];
  Result* result = &ResultOf(index, static_cast<int>(mode));
  result->bound = LossOf(scenario) * RunsOf(scenario).counted;
  if (IsFailing(mode)) {
    TryCalls(scenario, mode, result);
  } else {
    TryBoundaries(index, mode, result);
  }
}

// `first` is the first of the modes that share the runner.
void RunScenario(size_t index, Mode first) {
  const Scenario& scenario = kScenarios[index];
  if (scenario.prepare != nullptr) scenario.prepare();
  const int variant = first == Mode::kOnStack ? 1 : 0;
  const bool stocked = IsFailing(first) && IsStocked(scenario);
  const Outcome recorded =
      Run({&scenario, Mode::kRecord, 1, 1, variant, IsOurs(), 0, stocked, 0, 0},
          Boundary(), 0, &path);
  bool may_try = PathIsAsMeant(scenario);
  if (!recorded.ok || !recorded.reached) {
    Print("FAILED %s: %s\n", scenario.name,
          recorded.ok ? "the operation did not begin" : recorded.message);
    may_try = false;
  }
  ForEachMode(index, RecordingFor(first), [=](Mode mode) {
    Result& result = ResultOf(index, static_cast<int>(mode));
    if (may_try) {
      TryMode(index, mode);
    } else {
      result.failed = 1;
    }
    result.done = true;
  });
}

double Seconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) * 1e-9;
}

// Keeps the calling process, and those it starts, on one processor: tracer and
// traced take turns, and waking up another processor takes longer than a step.
void StayOnOneProcessor(int index) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  index %= CPU_COUNT(&allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || index-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

// Runs all scenarios in all modes asked for, each in a runner of its own.
int RunAll() {
  LoadSymbols();
  if (!FindFunctions() && IsOurs()) {
    Print("FAILED: the library does not export all it should\n");
    return 1;
  }
  results = static_cast<Result*>(
      MapShared(sizeof(Result) * kNumScenarios * kNumModes));
  JoinPlan();
  const double start = Seconds();
  pid_t runners[kRunners] = {};
  int total_tried = 0, total_failed = 0;
  for (int mode = 1; mode < kNumModes; ++mode) {
    for (size_t i = 0; i < kNumScenarios; ++i) {
      if (!StartsRunner(i, static_cast<Mode>(mode))) continue;
      int free_runner = 0;
      while (free_runner < kRunners && runners[free_runner] != 0) ++free_runner;
      if (free_runner == kRunners) {
        const pid_t ended = wait(nullptr);
        for (free_runner = 0; runners[free_runner] != ended; ++free_runner) {
        }
      }
      runners[free_runner] = fork();
      if (runners[free_runner] == 0) {
        StayOnOneProcessor(free_runner);
        shared = new (MapShared(sizeof(Shared))) Shared;
        path.pcs = static_cast<uintptr_t*>(
            MapShared(Path::kCapacity * sizeof(uintptr_t)));
        RunScenario(i, static_cast<Mode>(mode));
        _exit(0);
      }
    }
  }
  while (wait(nullptr) > 0) {
  }
  for (int mode = 1; mode < kNumModes; ++mode) {
    for (size_t i = 0; i < kNumScenarios; ++i) {
      if (!IsListed(options.modes, kModeNames[mode]) ||
          !Applies(kScenarios[i], static_cast<Mode>(mode))) {
        continue;
      }
      Result& result = ResultOf(i, mode);
      const bool failing = IsFailing(static_cast<Mode>(mode));
      if (!result.done) ++result.failed;
      total_tried += result.tried;
      total_failed += result.failed;
      char growth[100] = "";
      if (mode == static_cast<int>(Mode::kLongjmp)) {
        snprintf(growth, sizeof growth, ", heap grew by %ld of %ld at most",
                 result.growth, result.bound);
      }
      // No system call, or none to fail so.
      if (failing && result.boundaries == 0 && result.failed == 0) continue;
      Print("%-7s %-22s %-8s %6d boundaries %6d tried %4d failed%s%s%s\n",
            Stage(), kScenarios[i].name, kModeNames[mode], result.boundaries,
            result.tried, result.failed,
            !failing && result.failed >= kEnough ? " (given up)" : "",
            result.done ? "" : " (runner died)", growth);
    }
  }
  Print("%s: %d tried, %d failed, %.1f seconds\n", Stage(), total_tried,
        total_failed, Seconds() - start);
  return total_failed == 0 && total_tried > 0 ? 0 : 1;
}

unsigned FlagOf(const char* env) {
  return strcmp(env, "static") == 0    ? kStatic
         : strcmp(env, "mmap") == 0    ? kMapped
         : strcmp(env, "huge") == 0    ? kHuge
         : strcmp(env, "profile") == 0 ? kProfile
                                       : kRations;
}

bool ParseOptions(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const char* name = argv[i];
    if (strcmp(name, "--full") == 0) {
      plan.full = true;
      continue;
    }
    if (i + 1 == argc) return false;
    const char* value = argv[++i];
    if (strcmp(name, "--library") == 0) {
      options.library = value;
    } else if (strcmp(name, "--env") == 0) {
      options.env = value;
    } else if (strcmp(name, "--mode") == 0) {
      options.modes = value;
    } else if (strcmp(name, "--scenario") == 0) {
      options.scenarios = value;
    } else if (strcmp(name, "--stride") == 0) {
      plan.stride = atoi(value);
    } else if (strcmp(name, "--each") == 0) {
      plan.each = atoi(value);
    } else if (strcmp(name, "--deadline") == 0) {
      deadline_seconds = atoi(value);
    } else {
      return false;
    }
  }
  return options.library != nullptr && plan.stride > 0 && plan.each >= 0 &&
         deadline_seconds > 0;
}

int Main(int argc, char** argv) {
  if (!ParseOptions(argc, argv)) {
    Print(
        "usage: %s --library PATH|none "
        "[--env static|mmap|huge|profile|rations,...] [--mode NAME,...] "
        "[--scenario NAME,...] [--stride N] [--each N] [--deadline SECONDS] "
        "[--full]\n",
        argv[0]);
    return 2;
  }
  const char* stage = Stage();
  if (stage != nullptr) {
    environment = FlagOf(stage);
    mapped = environment != kStatic;
    return RunAll();
  }
  if (IsListed(options.modes, "crash")) {
    setenv("AO_MALLOC_DUMP_SIGNAL", "SEGV", 1);
  }
  SharePlan();
  bool ok = true;
  for (const char* env : {"static", "mmap", "huge", "profile", "rations"}) {
    if (options.env != nullptr && !IsListed(options.env, env)) continue;
    if (!IsOurs() && (FlagOf(env) & kBoth) == 0) continue;
    ok = RunStage(options.library, env, argv) && ok;
  }
  Print("%s\n", ok ? "PASSED" : "FAILED");
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace stepper

int main(int argc, char** argv) { return stepper::Main(argc, argv); }
