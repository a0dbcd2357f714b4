// The book of live blocks: who checks an allocator has to know what it gave.
//
// Each block is filled with a pattern of its own and checked when it is freed;
// two blocks that overlap are found when the second is entered. One thread at a
// time uses the book; handlers may when they interrupt the operation under
// test, which does not.
#ifndef AOMALLOC_TEST_STEPPER_BOOK_H_
#define AOMALLOC_TEST_STEPPER_BOOK_H_

#include <stddef.h>

namespace stepper {

// No memory is an answer too (the default is that it is a failure). Then null
// is entered and struck out as nothing.
extern bool may_run_out;

// Enters a block of which the caller may use `size` bytes, and fills it.
void Enter(void* ptr, size_t size);

// Checks a block and strikes it out: it is the caller's to free.
void Strike(void* ptr);

// Enter(malloc(size)); the block, never null.
void* Take(size_t size);

// Strike and free.
void Give(void* ptr);

// Checks the patterns of all blocks.
void CheckAll();

// Frees all blocks.
void GiveAll();

// Resizes a block; what is in both is as it was. The new block, never null.
void* Resize(void* ptr, size_t size);

// Frees every `step`-th block and takes one of the same size instead.
void Exchange(size_t step);

// Every kind of operation, once each for several sizes, `focus` first. Keeps a
// few blocks.
void Exercise(size_t focus);

// What traps an operation that was interrupted between looking at the head of a
// free list and changing it. Either the head is back when it resumes, and what
// followed it is not (A, B taken, A freed, B kept); or the head is gone.
enum class Trap { kHeadReturns, kHeadIsGone };
void SetTrap(size_t focus, Trap trap);

// Takes blocks of all sizes there are, zeroed and aligned as well, and resizes
// them; has them all at a time, frees them and gives the memory back. So
// `rounds` times.
void UseAllSizes(int rounds);

// Enters blocks of all kinds.
void Stock();

// `count` operations at random over many sizes.
void Churn(int count, size_t focus);

// Starts a thread that exercises the allocator on its own, and joins it.
void ExerciseInThread(size_t focus);

// Starts a number of threads that allocate and stay, and fails if two of them,
// or one and the caller, allocate from one slab: a heap has one user. Only
// libaomalloc.so promises that.
void CheckThatThreadsDoNotShare();

}  // namespace stepper

#endif  // AOMALLOC_TEST_STEPPER_BOOK_H_
