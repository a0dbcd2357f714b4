// The rules that compute the registers of a function's caller from the
// function's registers, at one instruction.
#ifndef AOMALLOC_CORE_PROFILE_FRAME_RULE_H_
#define AOMALLOC_CORE_PROFILE_FRAME_RULE_H_

#include <cstdint>

namespace aomalloc {

// Where a register of the caller is.
struct FrameRule {
  enum class Where : uint8_t {
    kSame,       // still in the register
    kAtFrame,    // in memory, at the frame pointer plus `offset`
    kAtCfa,      // in memory, at the canonical frame address plus `offset`
    kUndefined,  // it has no value, or no rule that is supported here
  };
  Where where = Where::kSame;
  int32_t offset = 0;
};

struct FrameRules {
  // The canonical frame address, which is the caller's stack pointer.
  enum class Cfa : uint8_t {
    kUnknown,
    kStack,    // the stack pointer plus `cfa_offset`
    kFrame,    // the frame pointer plus `cfa_offset`
    kInFrame,  // in memory, at the frame pointer plus `cfa_offset`
  };
  Cfa cfa = Cfa::kUnknown;
  bool is_signal_frame = false;  // the caller was interrupted by a signal
  int32_t cfa_offset = 0;
  FrameRule frame;
  FrameRule caller;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_PROFILE_FRAME_RULE_H_
