// The heap that a script runs on.
#ifndef AOMALLOC_TEST_FUZZ_HEAP_H_
#define AOMALLOC_TEST_FUZZ_HEAP_H_

namespace fuzz {

// Prepares the library, which has not been used yet: mmap or the static heap,
// with little address space or under a ceiling. Sets `memory` accordingly.
void ChooseHeap(int choice);

// Everything was freed, and no operation abandoned: nothing but the heaps'
// descriptors may be in use.
void CheckThatHeapIsEmpty();

}  // namespace fuzz

#endif  // AOMALLOC_TEST_FUZZ_HEAP_H_
