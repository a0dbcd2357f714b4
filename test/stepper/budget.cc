// Prints what the fast paths cost, counted by single-stepping.
//
//   budget --library PATH
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include <initializer_list>
#include <new>

#include "test/stepper/scenarios.h"
#include "test/stepper/shared.h"
#include "test/stepper/stage.h"
#include "test/stepper/symbols.h"
#include "test/stepper/tracer.h"

namespace stepper {
namespace {

struct Cost {
  int instructions = 0;
  int branches = 0;  // jumps, taken or not
  int calls = 0;
  int locked = 0;
  long stack = 0;  // bytes below the return address
};

// As much of the x86-64 instruction format as is needed here: prefixes, the
// opcodes of transfers of control, and operands below the stack pointer.
class Instruction {
 public:
  explicit Instruction(uintptr_t pc)
      : at_(reinterpret_cast<const uint8_t*>(pc)) {
    for (;; ++at_) {
      if (*at_ == 0xf0) locked_ = true;
      const bool legacy = *at_ == 0xf0 || *at_ == 0xf2 || *at_ == 0xf3 ||
                          *at_ == 0x66 || *at_ == 0x64 || *at_ == 0x65 ||
                          *at_ == 0x2e || *at_ == 0x3e;
      if (!legacy && (*at_ & 0xf0) != 0x40) break;
    }
  }

  // xchg with memory locks without being told to.
  bool IsLocked() const {
    return locked_ || ((at_[0] == 0x86 || at_[0] == 0x87) && at_[1] < 0xc0);
  }
  bool IsCall() const { return at_[0] == 0xe8 || IsIndirect(2); }
  bool IsBranch() const {
    return (at_[0] & 0xf0) == 0x70 || at_[0] == 0xeb || at_[0] == 0xe9 ||
           (at_[0] == 0x0f && (at_[1] & 0xf0) == 0x80) || IsIndirect(4);
  }
  // How far below the stack pointer a move or lea reaches; 0 if it does not.
  long BelowStackPointer() const {
    if (at_[0] != 0x88 && at_[0] != 0x89 && at_[0] != 0x8b && at_[0] != 0x8d &&
        at_[0] != 0xc7) {
      return 0;
    }
    const uint8_t mod_rm = at_[1];
    if ((mod_rm & 7) != 4 || (at_[2] & 7) != 4) return 0;  // base: the pointer
    long offset = 0;
    if (mod_rm >> 6 == 1) offset = (at_[3] ^ 0x80) - 0x80;  // signed
    if (mod_rm >> 6 == 2) {
      int32_t wide;
      memcpy(&wide, at_ + 3, sizeof wide);
      offset = wide;
    }
    return offset < 0 ? -offset : 0;
  }

 private:
  bool IsIndirect(int extension) const {
    return at_[0] == 0xff && (at_[1] >> 3 & 7) == extension;
  }

  const uint8_t* at_;
  bool locked_ = false;
};

Cost CostOf(const Path& path) {
  Cost cost;
  long red_zone = 0;
  for (size_t i = 0; i < path.length; ++i) {
    const Instruction instruction(path.pcs[i]);
    ++cost.instructions;
    cost.branches += instruction.IsBranch();
    cost.calls += instruction.IsCall();
    cost.locked += instruction.IsLocked();
    const long below = instruction.BelowStackPointer();
    if (below > red_zone) red_zone = below;
  }
  cost.stack = static_cast<long>(path.entry_sp - path.lowest_sp) + red_zone;
  return cost;
}

bool PrintCosts() {
  LoadSymbols();
  FindFunctions();
  shared = new (MapShared(sizeof(Shared))) Shared;
  Path path{};
  path.pcs =
      static_cast<uintptr_t*>(MapShared(Path::kCapacity * sizeof(uintptr_t)));
  for (const char* name :
       {"malloc_fast", "free_fast", "operator_new", "operator_delete",
        "free_remote_listed", "malloc_span_again", "free_span_again"}) {
    for (size_t i = 0; i < kNumScenarios; ++i) {
      if (strcmp(kScenarios[i].name, name) != 0) continue;
      if ((kScenarios[i].flags & (mapped ? kMapped : kStatic)) == 0) continue;
      const Outcome outcome = Run(
          {&kScenarios[i], Mode::kRecord, 1, 1, 0, true}, Boundary(), 0, &path);
      if (!outcome.ok) {
        Print("%s: %s\n", name, outcome.message);
        return false;
      }
      const Cost cost = CostOf(path);
      Print("%-6s %-18s %12d %9d %6d %7d %6ld\n", mapped ? "mmap" : "static",
            name, cost.instructions, cost.branches, cost.calls, cost.locked,
            cost.stack);
    }
  }
  return true;
}

int Main(int argc, char** argv) {
  if (argc != 3 || strcmp(argv[1], "--library") != 0) {
    Print("usage: %s --library PATH\n", argv[0]);
    return 2;
  }
  const char* stage = Stage();
  if (stage != nullptr) {
    mapped = strcmp(stage, "mmap") == 0;
    return PrintCosts() ? 0 : 1;
  }
  Print("%-6s %-18s %12s %9s %6s %7s %6s\n", "heap", "operation",
        "instructions", "branches", "calls", "locked", "stack");
  const bool mapped_ok = RunStage(argv[2], "mmap", argv);
  const bool static_ok = RunStage(argv[2], "static", argv);
  return mapped_ok && static_ok ? 0 : 1;
}

}  // namespace
}  // namespace stepper

int main(int argc, char** argv) { return stepper::Main(argc, argv); }
