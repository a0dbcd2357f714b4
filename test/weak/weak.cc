// Searches the cases, and then again with each order weakened. Prints which
// case fails then. README.md says more.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

#include "test/weak/cases.h"

namespace aomalloc::weak {
namespace {

// Parts of orders that no case needs, and why they are there.
struct Kept {
  const char* file;
  const char* function;  // how its name begins
  const char* operation;
  Order dropped;
  const char* reason;
};
constexpr char kStronger[] = "stronger than it must be";
constexpr char kForks[] = "for the child of a fork; no case forks";
constexpr char kRests[] = "without it more heaps may rest; no case counts them";
constexpr char kStays[] = "what follows stays behind it; no case can tell";
constexpr char kEarly[] = "written before there are threads, in a program";
constexpr char kFirst[] = "no case has an arena that begins with a part";
// One visitor has come and gone, the next one has put its tag there, and the
// holder of the heap reads an old state of the latter's place.
constexpr char kThird[] = "for what an earlier visitor did; beyond the bound";
// Hints make no difference to what is found, only to how soon.
constexpr char kModelled[] = "not searched: see test/models/hints.pml";
constexpr Kept kKept[] = {
    {"core/arena/memory.cc", "StaticRest", "LoadAcquire", kAcquire, kEarly},
    {"core/arena/growth.h", "IsUnitMapped", "LoadAcquire", kAcquire, kFirst},
    {"core/arena/free_hints.h", "Raise", "LoadAcquire", kAcquire, kModelled},
    {"core/arena/free_hints.cc", "RaiseFrom", "LoadAcquire", kAcquire,
     kModelled},
    {"core/arena/free_hints.cc", "RaiseFrom", "CasRelease", kRelease,
     kModelled},
    {"core/arena/free_hints.cc", "BeginLowering", "CasAcquire", kAcquire,
     kModelled},
    {"core/arena/free_hints.cc", "Lower", "CasRelease", kRelease, kModelled},
    {"core/heap/claim.h", "PeekForVisit", "LoadAcquire", kAcquire, kThird},
    {"core/heap/claim.h", "ClaimRemotely", "CasFull", kRelease, kThird},
    {"core/heap/claim.h", "ClaimRemotely", "CasFull", kAcquire, kStronger},
    {"core/thread/registry.cc", "AddHeaps", "CasAcquire", kAcquire, kStronger},
    {"core/thread/registry.cc", "AcquireIdle", "LoadAcquire", kAcquire, kRests},
    {"core/thread/registry.cc", "AcquireDead", "LoadAcquire", kAcquire, kForks},
    {"core/thread/registry.cc", "AcquireDead", "CasAcquire", kAcquire, kStays},
    {"core/thread/registry.cc", "AcquireDead", "CasFull", kAcquire, kStays},
    {"core/thread/registry.cc", "AcquireDead", "CasFull", kRelease, kStronger},
    {"core/thread/liveness.cc", "Begin", "CasFull", kAcquire, kStronger},
    {"core/thread/liveness.cc", "Begin", "CasFull", kRelease, kStronger},
    {"core/thread/liveness.cc", "FirstHasRecorded", "CasFull", kAcquire,
     kStronger},
    {"core/thread/liveness.cc", "FirstHasRecorded", "CasFull", kRelease,
     kForks},
    {"core/thread/liveness.cc", "IsDead", "LoadAcquire", kAcquire, kForks},
    {"core/thread/thread.cc", "NoteGeneration", "StoreRelease", kRelease,
     kForks},
    {"core/thread/thread.cc", "RegisterExit", "CasFull", kAcquire, kStronger},
};

const Listed* last = nullptr;

const char* InTree(const char* file) {
  const char* found = strstr(file, "core/");
  return found != nullptr ? found : file;
}

const char* ReasonFor(const Site& site, unsigned dropped) {
  for (const Kept& kept : kKept) {
    if (strcmp(kept.file, InTree(site.file)) == 0 &&
        strncmp(kept.function, site.function, strlen(kept.function)) == 0 &&
        strcmp(kept.operation, site.operation) == 0 &&
        kept.dropped == dropped) {
      return kept.reason;
    }
  }
  return nullptr;
}

void Print(const Result& result, const char* name) {
  printf("%-34s %8zu executions %8zu cut %10zu steps%s\n", name, result.runs,
         result.cut, result.steps, result.complete ? "" : ", not complete");
  if (!result.failure.empty()) printf("FAILS: %s", result.failure.c_str());
  fflush(stdout);
}

// What the program is asked to do.
struct Wish {
  const char* only = nullptr;  // the name of a case
  bool story = false;
  int more = 0;  // deviations
};

class Table {
 public:
  explicit Table(const Wish& wish) : wish_(wish) {}

  // Searches all cases as they are. False if one fails.
  bool Begin() {
    bool good = true;
    for (const Listed* i = last; i != nullptr; i = i->next) {
      if (wish_.only != nullptr && strcmp(wish_.only, i->that->name) != 0) {
        continue;
      }
      if (i->that->bound != 0) i->that->bound += wish_.more;
      rows_.push_back({i->that, Search(i->that, Weakening())});
      const Result& result = rows_.back().result;
      Print(result, i->that->name);
      good &= result.failure.empty();
      steps_ += result.steps;
    }
    // The quick ones first.
    std::sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) {
      return a.result.steps < b.result.steps;
    });
    return good;
  }

  // Weakens each order that some case reaches. False if no case notices, and
  // there is no reason for that; or if there is a reason, and a case does.
  bool Weaken() {
    bool good = true;
    const std::vector<Site> sites = Sites();
    for (size_t i = 0; i < sites.size(); ++i) {
      if (strncmp(InTree(sites[i].file), "core", 4) != 0) continue;
      for (const unsigned dropped : {kAcquire, kRelease}) {
        if ((sites[i].order & dropped) == 0 || !IsReached(i)) continue;
        good &= Weaken(sites[i], {i, dropped});
      }
    }
    return good;
  }

  size_t steps() const { return steps_; }

 private:
  struct Row {
    Case* that;
    Result result;
  };

  static bool Reaches(const Row& row, size_t site) {
    return site < row.result.visited.size() && row.result.visited[site];
  }
  bool IsReached(size_t site) const {
    return std::any_of(rows_.begin(), rows_.end(),
                       [&](const Row& row) { return Reaches(row, site); });
  }

  bool Weaken(const Site& site, const Weakening& weakening) {
    const char* noticed = nullptr;
    const char* reason = ReasonFor(site, weakening.dropped);
    std::string failure;
    for (const Row& row : rows_) {
      if (reason == kModelled) break;
      if (!Reaches(row, weakening.site)) continue;
      const Result result = Search(row.that, weakening);
      steps_ += result.steps;
      if (result.failure.empty()) continue;
      noticed = row.that->name;
      failure = result.failure;
      break;
    }
    printf("%s:%d %.40s, %s without %s: %s\n", InTree(site.file), site.line,
           site.function, site.operation,
           weakening.dropped == kAcquire ? "acquire" : "release",
           noticed != nullptr  ? noticed
           : reason != nullptr ? reason
                               : "NOTHING FAILS");
    if (noticed != nullptr) {
      if (!wish_.story) failure.resize(failure.find('\n'));
      printf("    %s\n", failure.c_str());
    }
    fflush(stdout);
    if (noticed != nullptr && reason != nullptr) {
      printf("    BUT: %s\n", reason);
    }
    return (noticed == nullptr) == (reason != nullptr);
  }

  const Wish wish_;
  std::vector<Row> rows_;
  size_t steps_ = 0;
};

}  // namespace

int Main(const Wish& wish) {
  if (!CheckLitmusTests()) return 1;
  Table table(wish);
  if (!table.Begin()) return 1;
  const bool good = table.Weaken();
  printf("%zu steps\n", table.steps());
  return good || wish.only != nullptr ? 0 : 1;
}

Listed::Listed(Case* c) : that(c), next(last) { last = this; }

}  // namespace aomalloc::weak

int main(int argc, char** argv) {
  aomalloc::weak::Wish wish;
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--story") == 0) wish.story = true;
    if (i + 1 == argc) break;
    if (strcmp(argv[i], "--case") == 0) wish.only = argv[i + 1];
    if (strcmp(argv[i], "--more") == 0) wish.more = atoi(argv[i + 1]);
  }
  return aomalloc::weak::Main(wish);
}
