// A cache of rules by the address of the instruction. Most stacks are alike,
// and reading call frame information takes longer than the rest of a walk.
//
// Who touches what: any thread and handler may find and add rules at any time.
//
// Commit: a slot is two words, which a thread stores one after the other
// without a lock. The second is a check of the first and the address. Find
// takes a slot only if they match. The accesses order nothing, because the
// words lead to no other memory.
//
// Interruption: if a thread stops between the two stores, or two threads mix
// theirs, the words do not match, and the slot counts as empty.
//
// When an object is closed (dlclose), its rules stay, and other code may be
// mapped at its addresses. A walk by such rules gives a wrong stack, and does
// nothing worse: a walk trusts nothing that it reads from a stack
// (stack_walk.h).
#ifndef AOMALLOC_CORE_PROFILE_RULE_CACHE_H_
#define AOMALLOC_CORE_PROFILE_RULE_CACHE_H_

#include <string.h>

#include <cstddef>
#include <cstdint>

#include "core/base/atomics.h"
#include "core/profile/frame_rule.h"

namespace aomalloc {

class RuleCache {
 public:
  // Finds the rules at `pc`. False if the cache does not have them.
  bool Find(uintptr_t pc, FrameRules* rules) const {
    const uint64_t mixed = Mix(pc);
    const Slot& slot = slots_[mixed >> (64 - kSlotBits)];
    const AO_t word = LoadRelaxed(&slot.packed);
    if ((LoadRelaxed(&slot.check) ^ word) != mixed) return false;
    *rules = Unpack(word);
    return true;
  }

  // Adds the rules at `pc`. Does nothing if an offset has too many bits.
  void Add(uintptr_t pc, const FrameRules& rules) {
    const AO_t word = Pack(rules);
    const FrameRules packed = Unpack(word);
    if (packed.cfa_offset != rules.cfa_offset ||
        packed.frame.offset != rules.frame.offset ||
        packed.caller.offset != rules.caller.offset) {
      return;
    }
    const uint64_t mixed = Mix(pc);
    Slot* slot = &slots_[mixed >> (64 - kSlotBits)];
    StoreRelaxed(&slot->packed, word);
    StoreRelaxed(&slot->check, word ^ mixed);
  }

 private:
  static constexpr int kSlotBits = 10;

  struct Slot {
    AtomicWord check;  // Mix of the address, xor `packed`
    AtomicWord packed;
  };

  struct Packed {
    int64_t cfa_offset : 24;
    int64_t frame_offset : 16;
    int64_t caller_offset : 16;
    uint64_t cfa : 2;
    uint64_t frame : 2;
    uint64_t caller : 2;
    uint64_t is_signal_frame : 1;
  };
  static_assert(sizeof(Packed) == sizeof(AO_t));

  // A bijection. Its values for two addresses of one slot differ in many bits.
  static uint64_t Mix(uintptr_t pc) { return pc * 0x9E3779B97F4A7C15u; }

  static AO_t Pack(const FrameRules& rules) {
    Packed packed{};
    packed.cfa_offset = rules.cfa_offset;
    packed.frame_offset = rules.frame.offset;
    packed.caller_offset = rules.caller.offset;
    packed.cfa = static_cast<uint64_t>(rules.cfa);
    packed.frame = static_cast<uint64_t>(rules.frame.where);
    packed.caller = static_cast<uint64_t>(rules.caller.where);
    packed.is_signal_frame = rules.is_signal_frame;
    AO_t word;
    memcpy(&word, &packed, sizeof(word));
    return word;
  }

  static FrameRules Unpack(AO_t word) {
    Packed packed;
    memcpy(&packed, &word, sizeof(word));
    FrameRules rules;
    rules.cfa = static_cast<FrameRules::Cfa>(packed.cfa);
    rules.is_signal_frame = packed.is_signal_frame;
    rules.cfa_offset = static_cast<int32_t>(packed.cfa_offset);
    rules.frame = {static_cast<FrameRule::Where>(packed.frame),
                   static_cast<int32_t>(packed.frame_offset)};
    rules.caller = {static_cast<FrameRule::Where>(packed.caller),
                    static_cast<int32_t>(packed.caller_offset)};
    return rules;
  }

  Slot slots_[size_t{1} << kSlotBits];
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_PROFILE_RULE_CACHE_H_
