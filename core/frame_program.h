// The programs that make up call frame information: instructions that say, from
// one place in a function to the next, how the rules change (DWARF 5, 6.4.2).
#ifndef AOMALLOC_CORE_FRAME_PROGRAM_H_
#define AOMALLOC_CORE_FRAME_PROGRAM_H_

#include <cstdint>

#include "core/byte_reader.h"
#include "core/frame_rules.h"

namespace aomalloc {

class FrameProgram {
 public:
  // Changes `rules`. Numbers in programs are multiples of the units.
  FrameProgram(uint64_t code_unit, int64_t data_unit, FrameRules* rules)
      : code_unit_(code_unit), data_unit_(data_unit), now_(rules) {}

  // Runs instructions up to what holds `distance` bytes into the function.
  // False at one that no compiler writes.
  bool Run(ByteReader in, uint64_t distance);

 private:
  // What a register's rule is in `rules`; of those that do not matter, one of
  // no use.
  FrameRule* RuleOf(uint64_t number, FrameRules* rules);
  void Restore(uint64_t number);
  void Saved(uint64_t number, int64_t units);
  void SetCfaRegister(uint64_t number);
  void SetCfaOffset(int64_t offset) {
    now_->cfa_offset = static_cast<int32_t>(offset);
  }
  void SetCfaExpression(ByteReader expression);
  bool RunOther(uint8_t code, ByteReader* in);

  // Compilers write one inside another at most.
  static constexpr int kDepth = 3;

  const uint64_t code_unit_;
  const int64_t data_unit_;
  FrameRules* now_;
  FrameRules initial_;  // what held at the start of Run
  FrameRule unused_;
  FrameRules remembered_[kDepth];
  int depth_ = 0;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_FRAME_PROGRAM_H_
