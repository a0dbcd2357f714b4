// Claims: how a thread and its own signal handlers share one heap.
//
// Who touches what: the heap's thread and its handlers touch the word. So what
// is needed is an operation that cannot be split by a signal, not one that is
// ordered against other processors. An operation of another thread may visit
// the heap: remote_claim.h says how it claims a heap whose thread goes about it
// as follows, and what it leaves in the word. A claim word is 0 when no
// operation works on the heap. An operation writes the tag of its own
// frame into the word, works with plain loads and stores, and writes 0 back.
//
// On x86-64 the tag is written by an add without lock prefix, followed by a
// comparison of the sum with the tag. (Measured on Zen 4: a pair of malloc and
// free takes 3.1 ns in this way, and 6.1 ns with an xadd or a cmpxchg without
// lock prefix.) On other machines it is written by a compare-and-swap that
// orders nothing. That may be a loop which stores only if nothing came in
// between (aarch64: ldxr, stxr). A signal in between makes the loop go round
// once more. So a signal does not split it either, and no other thread can keep
// it from ending.
//
// A heap changes hands by its `holder` (thread.h). The claim, the frame that it
// leads to and all work under the claim are stored before `holder` is released.
// So another thread that looks at a claim sees them, however weakly the machine
// orders stores. Operations on the claim word itself order nothing.
//
// Commit: Claim commits with the add (or the compare-and-swap) that makes the
// word equal to the tag. Release commits with the store of 0.
//
// Interruption: an operation that finds the word set is one of two things:
//
//   (a) a handler, or a user-level context that a handler switched to. The
//       claimant is interrupted and will resume: the heap must be left alone.
//   (b) a successor of a claimant that a siglongjmp or a cancellation removed
//       from the stack. The claim is abandoned and may be taken over.
//
// The frame shows which: it holds its own tag for as long as it lives. When the
// tag is gone, the claimant is gone. When the tag is still there, the frame may
// be dead but not yet overwritten. Then (a) is assumed, which is always safe.
//
// A claim is looked at and taken over by different instructions, and a context
// that the thread switches to in between may claim the heap with a frame that
// lies where the dead one was: with the same tag. So whoever finds the frame
// gone marks the word, with a mark that no other look has had, and looks once
// more. A claim that began after the mark has none, so it cannot be taken over
// for the one that was looked at. (Marks repeat after 65,535 looks that found a
// frame gone.)
#ifndef AOMALLOC_CORE_HEAP_CLAIM_H_
#define AOMALLOC_CORE_HEAP_CLAIM_H_

#include "core/base/atomics.h"
#include "core/base/likely.h"

namespace aomalloc {

// Lives on the stack of each operation that claims a heap.
class alignas(16) ClaimFrame {
 public:
  ClaimFrame() : self_(tag()) {}
  ClaimFrame(const ClaimFrame&) = delete;
  ClaimFrame& operator=(const ClaimFrame&) = delete;

  AO_t tag() const { return reinterpret_cast<AO_t>(this) + kTag; }

  // To be called when nothing is claimed for this frame. A claim from before
  // that has our tag, because its frame lay where ours is, is seen to be
  // abandoned then. Otherwise our frame would go on looking like that one.
  void Erase() const { self_ = 0; }

  // The low bits count tags. So a sum of several tags, which contexts can leave
  // in the word for a moment (see Claim), is never taken for one tag.
  static constexpr AO_t kTag = 1;
  static constexpr AO_t kTagMask = 15;

  // The bits above an address are for marks.
  static constexpr int kFirstMark = 48;
  static AO_t Unmarked(AO_t word) {
    return word & ((AO_t{1} << kFirstMark) - 1);
  }

  static bool IsTag(AO_t word) { return (word & kTagMask) == kTag; }
  static const volatile AO_t* Address(AO_t word) {
    return reinterpret_cast<const volatile AO_t*>(Unmarked(word) - kTag);
  }

 private:
  // Volatile: the tag must be on the stack, although nothing here reads it
  // back.
  mutable volatile AO_t self_;
};

class ClaimWord {
 public:
  // The low bits of a remote claim's tag. They are above what counts the tags
  // of frames: as long as fewer than eight contexts add theirs at a time, a sum
  // has this bit if, and only if, a remote claim is part of it.
  static constexpr AO_t kRemote = 8;
  // True if the word is the tag of a remote claim, and no sum. The rest of it
  // says which (remote_claim.cc).
  static bool IsRemote(AO_t word) {
    return (word & ClaimFrame::kTagMask) == kRemote;
  }

  // Claims the heap for an operation of another thread, if the word is `seen`.
  // Release: who sees the tag sees the visit that was noted before. (Full, but
  // the caller has a barrier behind it.)
  bool ClaimRemotely(AO_t seen, AO_t tag) { return CasFull(&word_, seen, tag); }

  // Takes the claim for `frame`. False if it is taken. A signal cannot split
  // this. An interrupted claimant and the contexts nested in it see one
  // another's tags whole.
  bool Claim(const ClaimFrame& frame) {
#if defined(__x86_64__)
    const AO_t tag = frame.tag();
    bool is_free;
    __asm__ volatile("cmpq $0, %1" : "=@ccz"(is_free) : "m"(word_));
    if (Unlikely(!is_free)) return false;
    // The load above and this add are split only when a handler in between
    // switches to another user-level stack, and that stack still holds the
    // claim. Then the sum is not our tag, and our part is taken off again
    // below. If the holder has released meanwhile, or a longjmp comes before
    // that, the word keeps a value that is not a tag. The heap then rests until
    // its thread ends. For the word to be 0 while the heap is held, four
    // contexts would have to be switched away from between these two
    // instructions, with tags whose sums cancel out (test/models/claim.pml).
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
    return ClaimAmongThreads(frame);
#endif
  }

  // The same, for a heap that this thread may hold no longer by now: then
  // another thread may be claiming it, too. The caller looks at `holder` once
  // more, and calls ReleaseIf if another thread holds it.
  bool ClaimAmongThreads(const ClaimFrame& frame) {
    const bool claimed = CasRelaxed(&word_, 0, frame.tag());
    CompilerBarrier();
    return claimed;
  }

  // Gives the word that was found a new mark. Returns what it is then; 0 if the
  // word has changed since it was found.
  AO_t Mark(AO_t seen) {
    constexpr AO_t kMost = 0xffff;
    const AO_t mark = CountRelaxed(&marks_) % kMost + 1;
    const AO_t marked =
        ClaimFrame::Unmarked(seen) | mark << ClaimFrame::kFirstMark;
    return CasRelaxed(&word_, seen, marked) ? marked : 0;
  }

  // Takes over a claim that was found abandoned; `seen` is the word that was
  // found. False if the word has changed since.
  bool TakeOver(AO_t seen, const ClaimFrame& frame) {
    return CasRelaxed(&word_, seen, frame.tag());
  }

  // Gives the claim up. For the claimant only.
  void Release() {
    CompilerBarrier();
    word_ = 0;
    CompilerBarrier();
  }

  // Gives the claim up if it is still that of `frame`. For a claimant that has
  // released `holder` first: the next holder may have taken the claim over
  // since.
  void ReleaseIf(const ClaimFrame& frame) {
    CasRelaxed(&word_, frame.tag(), 0);
  }

  // To be called in place of ReleaseIf when an abandoned claim was taken over
  // for `frame`, and what was left behind was not repaired: the word goes on to
  // be that of an abandoned claim.
  void Abandon(const ClaimFrame& frame) {
    CasRelaxed(&word_, frame.tag(), AO_t{1} << ClaimFrame::kFirstMark);
  }

  // The word: 0 or, as a rule, a tag, perhaps marked. Orders nothing.
  AO_t Peek() const { return word_; }

  // The same. Acquire: if it is the tag of a remote claim, the caller sees the
  // visit that was noted before.
  AO_t PeekForVisit() const { return LoadAcquire(&word_); }

 private:
  AtomicWord word_ = 0;
  AtomicWord marks_ = 0;  // how many there were
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_CLAIM_H_
