// Stack walks: the return addresses on the calling thread's stack.
//
// Signal-safe at any instruction. A walk uses the call frame information of the
// objects that the functions are in (frame_rules.h). The C library finds it
// without a lock (_dl_find_object, glibc 2.35). Code without call frame
// information, such as code that is compiled at run time, is expected to have
// frame pointers.
//
// A program may have overwritten its stack, or use other memory as one. So a
// walk does not trust what it reads there, and asks the kernel about each page
// before it reads the page. It trusts only that an object which the C library
// has found stays loaded: no other thread closes an object whose code this
// thread is in.
//
// (The unwinder of libgcc trusts what it reads. It would also tie this library
// to a C library that has _dl_find_object.)
#ifndef AOMALLOC_CORE_PROFILE_STACK_WALK_H_
#define AOMALLOC_CORE_PROFILE_STACK_WALK_H_

#include <cstddef>
#include <cstdint>

#include "core/profile/registers.h"

namespace aomalloc::stack_walk {

// True if the C library has _dl_find_object.
bool IsPossible();

// Writes at most `most` addresses, innermost first, and returns their number,
// at least 1: the address in `registers`, and the return addresses on the stack
// of the function that has these registers. If a signal interrupted an
// instruction, the address is that of the instruction plus 1. So each address
// is 1 more than an address in the calling code. `most` is not 0.
size_t Walk(const Registers& registers, uintptr_t* addresses, size_t most);

// The number of addresses, from the first on, that are in the same object as
// `code`; 0 if `code` is in no loaded object.
size_t CountInside(const void* code, const uintptr_t* addresses, size_t count);

// Where a loaded object lies, and what the dynamic loader notes of it (struct
// link_map of <link.h>).
struct Extent {
  uintptr_t start;
  uintptr_t end;
  const void* link_map;
};

// Finds the object that has the address. False if none has it.
bool FindExtent(uintptr_t address, Extent* extent);

}  // namespace aomalloc::stack_walk

#endif  // AOMALLOC_CORE_PROFILE_STACK_WALK_H_
