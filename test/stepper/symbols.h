// Where an address is: in the program, the library under test, or elsewhere.
// Nothing here allocates.
#ifndef AOMALLOC_TEST_STEPPER_SYMBOLS_H_
#define AOMALLOC_TEST_STEPPER_SYMBOLS_H_

#include <stddef.h>
#include <stdint.h>

namespace stepper {

// Reads the symbol table of the library that malloc is in. To be called once.
void LoadSymbols();

// True for code of this program.
bool InProgram(uintptr_t pc);

// True for code of the library that malloc is in.
bool InLibrary(uintptr_t pc);

// How far into the library that code is, in bytes.
size_t OffsetInLibrary(uintptr_t pc);

// The mangled name of the function at `pc`, or "?".
const char* FunctionAt(uintptr_t pc);

// Where the function of the library begins whose mangled name has `part` in it;
// 0 if there is none.
uintptr_t FunctionNamed(const char* part);

// "name+0x12 (library offset 0x5034)" in a static buffer.
const char* Describe(uintptr_t pc);

}  // namespace stepper

#endif  // AOMALLOC_TEST_STEPPER_SYMBOLS_H_
