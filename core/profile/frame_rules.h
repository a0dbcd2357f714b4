// Reads call frame information, which compilers write for exceptions and
// debuggers: how to compute the registers of a function's caller, at any
// instruction (DWARF 5, 6.4; .eh_frame and .eh_frame_hdr: Linux Standard Base
// Core 5.0, 10.6). Reads the rules only for the registers that a walk needs.
//
// Signal-safe: it writes no memory that others see, allocates nothing and takes
// no lock. It reads only parts of a loaded object, and trusts them as much as
// the object's code.
#ifndef AOMALLOC_CORE_PROFILE_FRAME_RULES_H_
#define AOMALLOC_CORE_PROFILE_FRAME_RULES_H_

#include <cstdint>

#include "core/profile/frame_rule.h"

namespace aomalloc {

// Finds the rules at `pc`, given the .eh_frame_hdr of the object that contains
// `pc`. False if there are none, or if their encoding is not supported.
bool FindFrameRules(const void* eh_frame_hdr, uintptr_t pc, FrameRules* rules);

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_PROFILE_FRAME_RULES_H_
