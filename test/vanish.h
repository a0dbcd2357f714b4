// Threads that end without a word, and who finds their heaps.
#ifndef AOMALLOC_TEST_VANISH_H_
#define AOMALLOC_TEST_VANISH_H_

#include <gtest/gtest.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <list>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/thread/thread.h"

namespace aomalloc {

inline AO_t IdOf(const Heap* heap) {
  return Holder::IdOf(LoadRelaxed(&heap->holder));
}

inline size_t CountHeaps() {
  size_t count = 0;
  for (Heap* h = thread::Registry(); h != nullptr; h = thread::Next(h)) {
    ++count;
  }
  return count;
}

// Claims heaps, as handlers nested ever deeper would, until it gets `wanted` or
// a heap had to be made.
inline bool Gets(Heap* wanted) {
  const size_t heaps = CountHeaps();
  std::list<ClaimFrame> frames;
  std::vector<Heap*> claimed;
  do {
    claimed.push_back(thread::ClaimHeap(frames.emplace_back()));
  } while (claimed.back() != wanted && CountHeaps() == heaps);
  const bool got =
      claimed.back() == wanted && wanted->claim.Peek() == frames.back().tag();
  for (Heap* heap : claimed) heap->claim.Release();
  return got;
}

// From now on the kernel has no restartable sequences for the calling thread,
// as for a thread of an older C library.
inline void StopRestartableSequences() {
  if (__rseq_size == 0) return;
  void* area = static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
  const unsigned bytes = __rseq_size < 32 ? 32 : __rseq_size;
  ASSERT_EQ(syscall(SYS_rseq, area, bytes, RSEQ_FLAG_UNREGISTER, RSEQ_SIG), 0);
}

// Runs `f` in a thread that then ends by the raw system call. The kernel says
// that it has ended a little before it forgets its id.
template <typename F>
Heap* Vanish(F f) {
  Heap* heap = nullptr;
  pid_t id = 0;
  std::thread([&] {
    Free(Allocate(100), "test");
    heap = thread::current;
    id = gettid();
    f();
    syscall(SYS_exit, 0);
  }).join();
  while (syscall(SYS_tgkill, getpid(), id, 0) == 0) std::this_thread::yield();
  return heap;
}

// So many that the thread has recorded its id, if it may.
inline void TakeSlowPaths() {
  for (int i = 0; i < 20; ++i) {
    const ClaimFrame frame;
    thread::ClaimHeap(frame)->claim.Release();
  }
}

// The same for the first thread of the child of a fork, which waits until
// another one has done so.
inline void TakeSlowPathsAmongOthers() {
  std::thread(TakeSlowPaths).join();
  TakeSlowPaths();
}

// Takes all heaps that look like those of vanished threads, for a thread that
// there is not.
constexpr AO_t kNobody = AO_t{1} << 63;
inline void TakeFromDead() {
  const ClaimFrame frame;
  const size_t heaps = CountHeaps();
  for (size_t i = 0; i < heaps; ++i) thread::AcquireFromDead(kNobody, frame);
}
inline bool IsTaken(const Heap* heap) {
  return LoadRelaxed(&heap->holder) == kNobody;
}

}  // namespace aomalloc

#endif  // AOMALLOC_TEST_VANISH_H_
