// The calls that led here: return addresses off the calling thread's stack.
//
// Signal-safe at any instruction: what it knows of functions is the call frame
// information of the objects that they are in (frame_rules.h), which the C
// library finds without a lock (_dl_find_object, glibc 2.35). Code that has
// none, such as what is compiled at run time, is expected to have frame
// pointers. A stack may be overwritten, or be none at all: what it says is
// taken to be wrong, and each page of it is asked for before it is read. (The
// unwinder of libgcc trusts what it reads, and would tie the library to the C
// library that has the function.) All that is trusted is that an object which
// the C library knows is still there: no other thread closes one whose code
// this thread is in.
#ifndef AOMALLOC_CORE_STACK_WALK_H_
#define AOMALLOC_CORE_STACK_WALK_H_

#include <cstddef>
#include <cstdint>

#include "core/registers.h"

namespace aomalloc::stack_walk {

// True if the C library can tell where code is.
bool IsPossible();

// Writes down the return addresses on the stack of the function that has these
// registers, innermost first, the address in `registers` included; at most
// `most`. Of an instruction that a signal interrupted, its address plus 1, so
// that all of them are one more than an address in the calling code.
size_t Walk(const Registers& registers, uintptr_t* addresses, size_t most);

// The number of them, from the first on, that are in the object that `code` is
// in.
size_t CountInside(const void* code, const uintptr_t* addresses, size_t count);

}  // namespace aomalloc::stack_walk

#endif  // AOMALLOC_CORE_STACK_WALK_H_
