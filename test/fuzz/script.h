// An input of the fuzzer, read as a script for two threads.
//
// The first byte chooses the heap. Then come calls: a byte that says which,
// then bytes that choose slot, size and the like. One thread at a time runs,
// so that the same input does the same each time; the script says when the
// other is to go on. It can also interrupt a call after any number of
// instructions: what follows then runs in a signal handler, or in the other
// thread while this one is stopped in the middle of the call, or the handler
// leaves the call for good by siglongjmp.
#ifndef AOMALLOC_TEST_FUZZ_SCRIPT_H_
#define AOMALLOC_TEST_FUZZ_SCRIPT_H_

#include <stddef.h>
#include <stdint.h>

namespace fuzz {

// Runs a script, frees what is left, and checks that the heap is empty then. To
// be called once in a process.
void Run(const uint8_t* script, size_t length);

}  // namespace fuzz

#endif  // AOMALLOC_TEST_FUZZ_SCRIPT_H_
