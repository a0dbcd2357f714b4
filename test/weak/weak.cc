// Searches the cases, and then again with each order weakened. Prints which case
// fails then. README.md says more.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <vector>

#include "test/weak/cases.h"

namespace aomalloc::weak {
namespace {

// The orders that no case needs, and why they are there.
struct Kept {
  const char* file;
  const char* function;
  const char* operation;
  const char* reason;
};
constexpr Kept kKept[] = {
    {"", "", "", ""},
};

Listed* last = nullptr;

std::vector<Case*> cases;

const char* InTree(const char* file) {
  for (const char* folder : {"core/", "test/"}) {
    const char* found = strstr(file, folder);
    if (found != nullptr) return found;
  }
  return file;
}

const char* ReasonFor(const Site& site) {
  for (const Kept& kept : kKept) {
    if (strcmp(kept.file, InTree(site.file)) == 0 &&
        strcmp(kept.function, site.function) == 0 &&
        strcmp(kept.operation, site.operation) == 0) {
      return kept.reason;
    }
  }
  return nullptr;
}

}  // namespace

Listed::Listed(Case* c) : that(c), next(last) { last = this; }

void ForEachCase(void (*visit)(Case*)) {
  for (const Listed* i = last; i != nullptr; i = i->next) visit(i->that);
}

int Main(const char* only, size_t most, int more) {
  bool good = CheckLitmusTests();
  ForEachCase([](Case* c) { cases.push_back(c); });
  for (Case* c : cases) c->bound += c->bound != 0 ? more : 0;
  std::vector<Result> results;
  size_t steps = 0;
  for (Case* c : cases) {
    results.push_back(only != nullptr && strcmp(only, c->name) != 0
                          ? Result()
                          : Search(c, Weakening(), most));
    const Result& result = results.back();
    if (result.steps == 0) continue;
    printf("%-24s %9zu executions, %9zu cut, %10zu steps%s\n", c->name,
           result.runs, result.cut, result.steps,
           result.complete ? "" : "  NOT COMPLETE");
    fflush(stdout);
    if (!result.failure.empty()) printf("  FAILS: %s", result.failure.c_str());
    good &= result.failure.empty();
    steps += result.steps;
  }
  if (getenv("QUICK") != nullptr) return 0;
  // The quick ones first.
  std::vector<size_t> order(cases.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return results[a].steps < results[b].steps;
  });
  const size_t count = Sites().size();
  for (size_t i = 0; i < count; ++i) {
    const Site site = Sites()[i];
    if (site.order == kRelaxed || strncmp(InTree(site.file), "core", 4) != 0) {
      continue;
    }
    for (const unsigned dropped : {kAcquire, kRelease}) {
      if ((site.order & dropped) == 0) continue;
      std::string failure;
      const char* by = nullptr;
      bool reached = false;
      for (const size_t c : order) {
        if (results[c].visited.size() <= i || !results[c].visited[i]) continue;
        reached = true;
        const Result result = Search(cases[c], {i, dropped}, most);
        steps += result.steps;
        if (result.failure.empty()) continue;
        by = cases[c]->name;
        failure = result.failure;
        break;
      }
      if (!reached) continue;
      const char* reason = ReasonFor(site);
      printf("%s:%d %s %s without %s: %s%s\n", InTree(site.file), site.line,
             site.function, site.operation,
             dropped == kAcquire ? "acquire" : "release",
             by != nullptr ? by : "NOTHING FAILS",
             reason != nullptr ? reason : "");
      if (by != nullptr && getenv("STORY") != nullptr) {
        printf("  %s", failure.c_str());
      } else if (by != nullptr) {
        printf("    %s\n", failure.substr(0, failure.find('\n')).c_str());
      }
      fflush(stdout);
      good &= (by == nullptr) == (reason != nullptr);
    }
  }
  printf("%zu steps\n", steps);
  return good ? 0 : 1;
}

}  // namespace aomalloc::weak

int main(int argc, char** argv) {
  return aomalloc::weak::Main(
      argc > 1 ? argv[1] : nullptr,
      argc > 2 ? strtoull(argv[2], nullptr, 10) : 3000000,
      argc > 3 ? atoi(argv[3]) : 0);
}
