// Call frame information: how to get from a function's registers to those of
// its caller, at any instruction, as compilers write it down for exceptions and
// debuggers (DWARF 5, 6.4; .eh_frame and .eh_frame_hdr: Linux Standard Base
// Core 5.0, 10.6). Only the registers that a walk needs.
//
// Nothing is written, allocated or locked. What is read is part of a loaded
// object, and taken to be as sound as its code.
#ifndef AOMALLOC_CORE_FRAME_RULES_H_
#define AOMALLOC_CORE_FRAME_RULES_H_

#include <cstdint>

namespace aomalloc {

// Where a value of the caller is.
struct FrameRule {
  enum class Where : uint8_t {
    kSame,       // in its register still
    kAtFrame,    // in memory, `offset` from the frame pointer
    kAtCfa,      // in memory, `offset` from the canonical frame address
    kUndefined,  // there is none, or it is nowhere to be found
  };
  Where where = Where::kSame;
  int32_t offset = 0;
};

struct FrameRules {
  // The canonical frame address, which is the caller's stack pointer.
  enum class Cfa : uint8_t {
    kUnknown,
    kStack,    // the stack pointer plus `cfa_offset`
    kFrame,    // the frame pointer plus that
    kInFrame,  // in memory at the frame pointer plus that
  };
  Cfa cfa = Cfa::kUnknown;
  bool is_signal_frame = false;  // the caller was interrupted here
  int32_t cfa_offset = 0;
  FrameRule frame;
  FrameRule caller;
};

// The rules at `pc`, given the .eh_frame_hdr of the object that it is in. False
// if there are none, or of a kind that no compiler uses.
bool FindFrameRules(const void* eh_frame_hdr, uintptr_t pc, FrameRules* rules);

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_FRAME_RULES_H_
