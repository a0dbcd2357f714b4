// Blocks with patterns: a table of live blocks that everybody shares, threads
// and handlers, contexts and children.
//
// A slot is claimed by one compare-and-swap and nobody waits for one, so any of
// this may be interrupted, or stopped for ever, anywhere. Who puts a block into
// a slot fills it with a pattern of its own; who takes it out, which may be
// somebody else, checks every byte.
#ifndef AOMALLOC_TEST_SIGNAL_STORMS_BLOCKS_H_
#define AOMALLOC_TEST_SIGNAL_STORMS_BLOCKS_H_

#include <stddef.h>

#include "test/signal_storms/worker.h"

namespace storms {

// The library runs on the static heap, or with a limit: it may say that there
// is no memory.
extern const bool may_run_out;

// Around each call of the allocator, and as close to it as can be; `size` is
// what it is about. The default notes it in `me->inside`.
struct Hooks {
  void (*before)(size_t size);
  void (*after)();
};
extern Hooks hooks;

// For those who count what is lost with a thread: the largest block, and how
// many a thread may hold that are not in the table.
struct Limits {
  size_t size;
  size_t burst;
};
extern Limits limits;

// One operation at random of the malloc family, all of which take part.
void Operate(Random* random);

// Takes two blocks, gives the first back and keeps the second: what undoes a
// malloc that was interrupted between looking at its free list and changing it.
void TakeTwoKeepOne(Random* random, size_t size);

// Frees all blocks.
void FreeAll();

// Empties the slots that a worker who is gone had in hand; their blocks are
// lost. Returns how many that were.
int ForgetThoseOf(const Worker* gone);

}  // namespace storms

#endif  // AOMALLOC_TEST_SIGNAL_STORMS_BLOCKS_H_
