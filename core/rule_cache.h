// Rules that were found before, by the address of the instruction: most stacks
// are alike, and to read call frame information takes longer than all the rest
// of a walk.
//
// Who touches what: anybody, at any time. A slot is two words that are written
// one after the other by whoever comes, with nothing to say whose they are but
// each other: what does not fit together is not there. They order nothing, as
// they lead to no other memory.
//
// An object that is closed leaves its rules, and other code may come to be
// where it was. A walk that goes by these goes wrong, and no more: it believes
// nothing that it is told of a stack (stack_walk.h).
#ifndef AOMALLOC_CORE_RULE_CACHE_H_
#define AOMALLOC_CORE_RULE_CACHE_H_

#include <string.h>

#include <cstddef>
#include <cstdint>

#include "core/atomics.h"
#include "core/frame_rules.h"

namespace aomalloc {

class RuleCache {
 public:
  // False if they are not here, or not any more.
  bool Find(uintptr_t pc, FrameRules* rules) const {
    const uint64_t mixed = Mix(pc);
    const Slot& slot = slots_[mixed >> (64 - kSlotBits)];
    const AO_t word = LoadRelaxed(&slot.packed);
    if ((LoadRelaxed(&slot.check) ^ word) != mixed) return false;
    *rules = Unpack(word);
    return true;
  }

  // Nothing if they do not fit.
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
    AtomicWord check;  // `packed` and the address, mixed
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

  // One to one; of two addresses that share a slot, no few bits differ.
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

#endif  // AOMALLOC_CORE_RULE_CACHE_H_
