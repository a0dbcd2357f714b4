// What is published once and never goes away: arenas, and stacks of the
// profile.
#include "core/arena/memory.h"
#include "core/profile/profile.h"
#include "core/profile/rule_cache.h"
#include "test/weak/cases.h"
#include "test/weak/system.h"

namespace aomalloc::weak {
namespace {

constexpr int kBound = 2;

// Two threads take the first memory that is mapped, and free would find it. A
// third one asks for a pointer of somebody else's.
class ArenaCase : public Case {
 public:
  ArenaCase(const char* name, size_t address_space)
      : Case(name, 3, 0, kBound), address_space_(address_space) {}
  void SetUp() override {
    system_.address_space = address_space_;
    system_.Use();
    memory::EnableMmap();
    // All that write it write the same (memory.h).
    IgnoreRaces(&memory::primary_place.table);
  }
  void Run(int thread) override {
    if (thread == 3) {
      // In a program that is not relocated its own data are there.
      const auto* low = reinterpret_cast<const void*>(0x400000);
      Expect(!memory::InPrimary(low),
             "somebody else's memory is the primary's");
      return Expect(memory::RunAt(low) == nullptr, "... or another arena's");
    }
    const memory::Grant grant = memory::Take({1000, 1000, 1});
    Expect(grant.run != nullptr, "there is no memory");
    Expect(memory::RunAt(grant.address()) == grant.run, "it is not found");
    Expect(memory::ArenaOf(grant.address()) == grant.arena,
           "... nor its arena");
    grant.run->kind = RunKind::kSpan;
    *reinterpret_cast<AO_t*>(grant.address()) = 1;
  }

 private:
  const size_t address_space_;
  System system_;
};

// Two threads take samples, and a third one counts them.
class ProfileCase : public Case {
 public:
  ProfileCase(const char* name, int threads, uintptr_t stack)
      : Case(name, threads, 0, kBound), stack_(stack) {}
  void SetUp() override {
    system_.Use();
    system_.stacks[1] = 1;
    system_.stacks[2] = stack_;
    Expect(profile::Start(1, nullptr) == nullptr, "there is no profile");
  }
  void Run(int thread) override {
    if (thread == 3) {
      const profile::Counts counts = profile::Total();
      Expect(counts.allocated <= 2, "too many samples");
      return;
    }
    aomalloc::Run* span = &spans_[thread - 1];
    profile::Record(span, 100, &scratch_[thread - 1]);
    profile::Forget(span);
  }
  void Check() override {
    Expect(profile::Missed() == 0, "a sample is missed");
    if (threads == 3) return;
    const profile::Counts counts = profile::Total();
    Expect(counts.allocated == 2 && counts.freed == 2, "a sample is lost");
  }

 private:
  const uintptr_t stack_;
  System system_;
  aomalloc::Run spans_[2] = {};
  uintptr_t scratch_[2][profile::kMaxDepth] = {};
};

// Threads add rules that share a slot, and look for one of them.
class RulesCase : public Case {
 public:
  RulesCase() : Case("profile, rules", 3) {}
  void Run(int thread) override {
    if (thread == 3) return Look();
    FrameRules rules{};
    rules.cfa_offset = thread;
    cache_.Add(kPlaces[thread - 1], rules);
    if (thread == 1) Look();
  }

 private:
  static constexpr uintptr_t kPlaces[] = {1, 988};  // of one slot
  void Look() {
    for (int i = 0; i < 2; ++i) {
      FrameRules rules{};
      if (!cache_.Find(kPlaces[i], &rules)) continue;
      Expect(rules.cfa_offset == i + 1, "the rules of another place");
    }
  }

  RuleCache cache_{};
};

ArenaCase primary("publication, the primary", SIZE_MAX);
const Listed listed_primary(&primary);
ArenaCase piece("publication, a piece", size_t{32} << 20);
const Listed listed_piece(&piece);
ProfileCase one_stack("profile, one stack", 2, 1);
const Listed listed_one(&one_stack);
// These two are on one list (profile.cc, HashOf).
ProfileCase two_stacks("profile, two stacks", 3, 1212);
const Listed listed_two(&two_stacks);
RulesCase rules;
const Listed listed_rules(&rules);

}  // namespace
}  // namespace aomalloc::weak
