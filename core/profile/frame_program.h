// Runs the programs of call frame information (DWARF 5, 6.4.2): instructions
// that say how the rules change from one place in a function to the next.
#ifndef AOMALLOC_CORE_PROFILE_FRAME_PROGRAM_H_
#define AOMALLOC_CORE_PROFILE_FRAME_PROGRAM_H_

#include <cstdint>

#include "core/profile/byte_reader.h"
#include "core/profile/frame_rule.h"

namespace aomalloc {

class FrameProgram {
 public:
  // Run changes `rules`. The units are the factors of the numbers in a program.
  FrameProgram(uint64_t code_unit, int64_t data_unit, FrameRules* rules)
      : code_unit_(code_unit), data_unit_(data_unit), now_(rules) {}

  // Runs the instructions that apply up to `distance` bytes into the function.
  // False at an instruction that is not supported.
  bool Run(ByteReader in, uint64_t distance);

 private:
  // The rule of a register in `rules`; for a register that the walk does not
  // need, an unused one.
  FrameRule* RuleOf(uint64_t number, FrameRules* rules);
  void Restore(uint64_t number);
  void Saved(uint64_t number, int64_t units);
  void SetCfaRegister(uint64_t number);
  void SetCfaOffset(int64_t offset) {
    now_->cfa_offset = static_cast<int32_t>(offset);
  }
  void SetCfaExpression(ByteReader expression);
  bool RunOther(uint8_t code, ByteReader* in);

  // How many states can be remembered at a time. Compilers need two at most.
  static constexpr int kDepth = 3;

  const uint64_t code_unit_;
  const int64_t data_unit_;
  FrameRules* now_;
  FrameRules initial_;  // the rules at the start of Run
  FrameRule unused_;
  FrameRules remembered_[kDepth];
  int depth_ = 0;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_PROFILE_FRAME_PROGRAM_H_
