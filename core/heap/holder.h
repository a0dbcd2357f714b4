// What each heap begins with: which thread holds it, and which operation works
// on it. thread.h has the protocol: who touches these words, what commits, and
// what an interruption leaves behind.
//
// A heap is held by one thread or by none. `holder` is that thread's token. The
// low bits of a token are the thread's id, or 0 where the id is not known. The
// other bits identify the thread within the process.
#ifndef AOMALLOC_CORE_HEAP_HOLDER_H_
#define AOMALLOC_CORE_HEAP_HOLDER_H_

#include "core/base/atomics.h"
#include "core/heap/claim.h"

namespace aomalloc {

class Heap;

struct Holder {
  // Thread ids are below 2^kIdBits (Linux: PID_MAX_LIMIT).
  static constexpr int kIdBits = 22;
  // The thread id in the value of a `holder` word; 0 if it is not known.
  static constexpr AO_t IdOf(AO_t holder) {
    return holder & ((AO_t{1} << kIdBits) - 1);
  }

  AtomicWord holder = 0;  // 0 if no thread holds the heap
  // That under which the id in `holder` was recorded, or an older one.
  AtomicWord generation = 0;
  ClaimWord claim;
  Heap* next_in_registry = nullptr;  // written before the heap is published
  Heap* next_held =
      nullptr;  // on the holder's list, which is the holder's alone
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_HOLDER_H_
