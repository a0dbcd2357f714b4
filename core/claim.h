// Claims: how a thread and its own signal handlers share one heap.
//
// A claim word is 0 when nobody works on the heap. An operation writes the tag
// of a frame of its own into it, works with plain loads and stores, and writes
// 0 back. Only the heap's thread and its handlers touch the word, so what is
// needed is an operation that cannot be split by a signal, not one that is
// ordered against other processors: on x86-64 an add without lock prefix, and
// a look at the sum. (Measured on Zen 4, a pair of malloc and free takes 3.1 ns
// so, 6.1 with an xadd or a cmpxchg without lock prefix.) Elsewhere it is a
// compare-and-swap that orders nothing. Where that is a loop which stores only
// if nothing has come between (aarch64: ldxr, stxr), a signal in between makes
// it go round once more; it is not split either, and nobody else's doing keeps
// it from ending.
//
// A heap changes hands by its `holder` (thread.h): released after the claim,
// the frame that the claim leads to, and all that was done under it were
// stored. So another thread that looks at a claim sees them, however weakly the
// machine orders stores; operations on the word itself order nothing.
//
// Who finds the word set is (a) a handler, or a user-level context that a
// handler switched to: the claimant is interrupted and will resume, so leave
// the heap alone; or (b) a successor of a claimant that a siglongjmp or a
// cancellation swept off the stack: the claim is abandoned and may be taken
// over. The frame tells which: it holds its own tag for as long as it lives.
// When the tag is gone, the claimant is gone. When it is still there the
// frame may be dead but not yet overwritten; then the answer is (a), which is
// always safe.
#ifndef AOMALLOC_CORE_CLAIM_H_
#define AOMALLOC_CORE_CLAIM_H_

#include "core/atomics.h"
#include "core/likely.h"

namespace aomalloc {

// Lives on the stack of each operation that claims a heap.
class alignas(16) ClaimFrame {
 public:
  ClaimFrame() : self_(tag()) {}
  ClaimFrame(const ClaimFrame&) = delete;
  ClaimFrame& operator=(const ClaimFrame&) = delete;

  AO_t tag() const { return reinterpret_cast<AO_t>(this) + kTag; }

  // The low bits count tags: a sum of several, which contexts can leave for a
  // moment (see Claim), is never taken for one.
  static constexpr AO_t kTag = 1;
  static constexpr AO_t kTagMask = 15;

  static bool IsTag(AO_t word) { return (word & kTagMask) == kTag; }
  static const volatile AO_t* Address(AO_t tag) {
    return reinterpret_cast<const volatile AO_t*>(tag - kTag);
  }

 private:
  // Volatile: it must be on the stack, though nobody here reads it back.
  [[maybe_unused]] volatile AO_t self_;
};

class ClaimWord {
 public:
  // Takes the claim for `frame`, unless it is taken. Cannot be split by a
  // signal. The interrupted claimant and the contexts nested in it see one
  // another's tags whole.
  bool Claim(const ClaimFrame& frame) {
    AO_t tag = frame.tag();
#if defined(__x86_64__)
    bool is_free;
    __asm__ volatile("cmpq $0, %1" : "=@ccz"(is_free) : "m"(word_));
    if (Unlikely(!is_free)) return false;
    // The load above and this add are split only when a handler that came in
    // between switched to another user-level stack which still holds the
    // claim. Then the sum is not our tag; take our part off again. If
    // the holder has released meanwhile, or a longjmp comes before that, the
    // word keeps a value that nobody understands: the heap rests until its
    // thread ends. For the word to be 0
    // while the heap is held, four contexts would have to be switched away
    // from between these two instructions, with tags whose sums cancel out
    // (test/models/claim.pml).
    bool claimed;
    __asm__ volatile(
        "addq %2, %1\n\t"
        "cmpq %2, %1"
        : "=@ccz"(claimed), "+m"(word_)
        : "r"(tag)
        : "memory");
    if (Likely(claimed)) return true;
    __asm__ volatile("subq %1, %0" : "+m"(word_) : "r"(tag) : "memory", "cc");
    return false;
#else
    const bool claimed = CasRelaxed(&word_, 0, tag);
    CompilerBarrier();
    return claimed;
#endif
  }

  // Takes over a claim found abandoned, given the word that was seen.
  bool TakeOver(AO_t seen, const ClaimFrame& frame) {
    return CasRelaxed(&word_, seen, frame.tag());
  }

  // Gives the claim up.
  void Release() {
    CompilerBarrier();
    word_ = 0;
    CompilerBarrier();
  }

  // Gives the claim up if it is still that of `frame`: for a claimant that has
  // let others at the heap before, and all that it did with it.
  void ReleaseIf(const ClaimFrame& frame) {
    CasRelaxed(&word_, frame.tag(), 0);
  }

  AO_t Peek() const { return word_; }

 private:
  AtomicWord word_ = 0;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_CLAIM_H_
