#include "core/profile/frame_program.h"

#include "core/profile/registers.h"

namespace aomalloc {
namespace {

using Where = FrameRule::Where;
using Cfa = FrameRules::Cfa;

// The instructions: DW_CFA_... of DWARF 5, 7.24, and of the psABIs. The first
// three have an operand in their low bits.
enum Instruction : uint8_t {
  kAdvance = 0x40,
  kOffset = 0x80,
  kRestore = 0xc0,
  kOperandBits = 0x3f,

  kNop = 0x00,
  kAdvance1 = 0x02,
  kAdvance2 = 0x03,
  kAdvance4 = 0x04,
  kOffsetExtended = 0x05,
  kRestoreExtended = 0x06,
  kUndefined = 0x07,
  kSameValue = 0x08,
  kRegister = 0x09,
  kRememberState = 0x0a,
  kRestoreState = 0x0b,
  kDefCfa = 0x0c,
  kDefCfaRegister = 0x0d,
  kDefCfaOffset = 0x0e,
  kDefCfaExpression = 0x0f,
  kExpression = 0x10,
  kOffsetExtendedSf = 0x11,
  kDefCfaSf = 0x12,
  kDefCfaOffsetSf = 0x13,
  kValOffset = 0x14,
  kValOffsetSf = 0x15,
  kValExpression = 0x16,
  kNegateRaState = 0x2d,  // aarch64: see PlainAddress
  kArgsSize = 0x2e,
};

// True for the only kind of expression that is supported: the frame pointer
// plus `*offset`, which it sets, or, if it `loads`, the value in memory there.
// Functions that align their stack have these.
bool IsFrameBased(ByteReader expression, bool loads, int32_t* offset) {
  constexpr uint8_t kRegister0 = 0x70;  // DW_OP_breg0
  constexpr uint8_t kLoad = 0x06;       // DW_OP_deref
  if (expression.Fixed<uint8_t>() != kRegister0 + kFrameRegister) return false;
  *offset = static_cast<int32_t>(expression.Signed());
  return (!loads || expression.Fixed<uint8_t>() == kLoad) && expression.AtEnd();
}

}  // namespace

FrameRule* FrameProgram::RuleOf(uint64_t number, FrameRules* rules) {
  if (number == kFrameRegister) return &rules->frame;
  if (number == kReturnRegister) return &rules->caller;
  return &unused_;
}

void FrameProgram::Restore(uint64_t number) {
  *RuleOf(number, now_) = *RuleOf(number, &initial_);
}

void FrameProgram::Saved(uint64_t number, int64_t units) {
  *RuleOf(number, now_) = {Where::kAtCfa,
                           static_cast<int32_t>(units * data_unit_)};
}

void FrameProgram::SetCfaRegister(uint64_t number) {
  now_->cfa = number == kStackRegister   ? Cfa::kStack
              : number == kFrameRegister ? Cfa::kFrame
                                         : Cfa::kUnknown;
}

void FrameProgram::SetCfaExpression(ByteReader expression) {
  const bool is_known = IsFrameBased(expression, true, &now_->cfa_offset);
  now_->cfa = is_known ? Cfa::kInFrame : Cfa::kUnknown;
}

bool FrameProgram::Run(ByteReader in, uint64_t distance) {
  uint64_t location = 0;
  initial_ = *now_;
  while (!in.AtEnd()) {
    const uint8_t code = in.Fixed<uint8_t>();
    const uint8_t operand = code & kOperandBits;
    const uint8_t kind = code & ~kOperandBits;
    uint64_t advance = 0;
    if (kind == kAdvance) {
      advance = operand;
    } else if (code == kAdvance1) {
      advance = in.Fixed<uint8_t>();
    } else if (code == kAdvance2) {
      advance = in.Fixed<uint16_t>();
    } else if (code == kAdvance4) {
      advance = in.Fixed<uint32_t>();
    } else if (kind == kOffset) {
      Saved(operand, static_cast<int64_t>(in.Unsigned()));
    } else if (kind == kRestore) {
      Restore(operand);
    } else if (!RunOther(code, &in)) {
      return false;
    }
    location += advance * code_unit_;
    if (location > distance) break;
  }
  return true;
}

bool FrameProgram::RunOther(uint8_t code, ByteReader* in) {
  // All operands are numbers. In most instructions the first is a register.
  const bool has_register = code != kNop && code != kNegateRaState &&
                            code != kArgsSize && code != kRememberState &&
                            code != kRestoreState && code != kDefCfaOffset &&
                            code != kDefCfaOffsetSf &&
                            code != kDefCfaExpression;
  const uint64_t number = has_register ? in->Unsigned() : 0;
  switch (code) {
    case kNop:
    case kNegateRaState:
      return true;
    case kArgsSize:
      in->Unsigned();
      return true;
    case kOffsetExtended:
      Saved(number, static_cast<int64_t>(in->Unsigned()));
      return true;
    case kOffsetExtendedSf:
      Saved(number, in->Signed());
      return true;
    case kRestoreExtended:
      Restore(number);
      return true;
    case kSameValue:
      *RuleOf(number, now_) = FrameRule();
      return true;
    case kUndefined:
      *RuleOf(number, now_) = {Where::kUndefined, 0};
      return true;
    case kRegister:
    case kValOffset:
    case kValOffsetSf:
      in->Unsigned();
      *RuleOf(number, now_) = {Where::kUndefined, 0};
      return true;
    case kRememberState:
      if (depth_ == kDepth) return false;
      remembered_[depth_++] = *now_;
      return true;
    case kRestoreState:
      if (depth_ == 0) return false;
      *now_ = remembered_[--depth_];
      return true;
    case kDefCfa:
      SetCfaRegister(number);
      SetCfaOffset(static_cast<int64_t>(in->Unsigned()));
      return true;
    case kDefCfaSf:
      SetCfaRegister(number);
      SetCfaOffset(in->Signed() * data_unit_);
      return true;
    case kDefCfaRegister:
      SetCfaRegister(number);
      return true;
    case kDefCfaOffset:
      SetCfaOffset(static_cast<int64_t>(in->Unsigned()));
      return true;
    case kDefCfaOffsetSf:
      SetCfaOffset(in->Signed() * data_unit_);
      return true;
    case kDefCfaExpression:
      SetCfaExpression(in->Part(in->Unsigned()));
      return true;
    case kExpression:
    case kValExpression: {
      FrameRule* rule = RuleOf(number, now_);
      const ByteReader expression = in->Part(in->Unsigned());
      const bool is_known =
          code == kExpression && IsFrameBased(expression, false, &rule->offset);
      rule->where = is_known ? Where::kAtFrame : Where::kUndefined;
      return true;
    }
    default:
      return false;
  }
}

}  // namespace aomalloc
