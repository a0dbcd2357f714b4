// How the heap gets into the state that a scenario is about.
#ifndef AOMALLOC_TEST_STEPPER_SETUPS_H_
#define AOMALLOC_TEST_STEPPER_SETUPS_H_

#include <stddef.h>
#include <sys/resource.h>

namespace stepper {

// Class 2304 serves this; nothing else in these programs uses it before. A slab
// holds 28 of them, or 5 in the static heap, and they are carved one by one.
constexpr size_t kRare = 2200;
// A span, and what it grows to.
size_t Big();
size_t Bigger();
constexpr size_t kFourth = 14000;  // of a slab with mmap
constexpr size_t kSent = 32000;    // of a class of 32 KiB: each is sent at once
constexpr size_t kLong = 100000;   // more than a heap keeps of the static heap
constexpr int kOwners = 8;         // of blocks: more than an outbox has lanes

extern void* in;  // the block that the operation is about; not in the book
extern size_t in_size;
extern void* blocks[128];
extern rlimit no_limit;  // what the process was allowed before it was limited

// On the thread under test:
void WarmUp();
void WarmAll();
void TakeSmall();
void TakeSmallFromPeer();
void GiveSomeOfPeer();
void GiveBatchOfPeer();
void GiveManyOfPeer();
void TakeOneOfEach();
void NeedAndHoldOneOfPeer();
void KeepSomeOfPeer();
void UseUpSomeOfPeer();
void FreeWithoutHeap();
void TakeFew();
void TakeSlabFull();
void TakeMoreThanSlab();
void LeaveOneInNext();
void HoldOneOfFull();
void HoldLastOfSlab();
void LetPeerFree();
void LetPeerEmptySlab();
void UseUpRation();
void TakeSpan();
void TakeSpanBeforeAnother();
void TakeMovableSpan();
void TakeMovedSpan();
void TakeMovedAndGrownSpan();
void TakeVast();
void FillSlabsOfPages();
void FreeMostOfPeak();
void FreeSome();
void FreeAndPurge();
void TakeOfLibc();
void LimitToWhatThereIs();
void TakeBiggerSpan();
void DirtySpan();
constexpr size_t kOfOneUnit = 40000;
void KeepSpanWithTail();
void TakeOneUnit();
void DirtySpanAmongTails();
void TakeSpanAmongTails();
void TakeSpanWithTail();
void TakeLong();
void DirtyLong();
void DirtyHuge();
void TakeHuge();
void FillSmallPages();
void FillSmallPagesAndKeepLittle();
void TakeMostOfHugePage();
void KeepSlab();
void LeaveCacheFull();
void FreeMuch();
void LeaveOneInEach();
void UseUpListOfPurged();
void UseUpHeadOfPurged();
void HoldOneOfPurged();
void FreeManyInPurged();
void GrowBesideIdle();
void HoldFirstHeaps();
void LoseOneOfFirstHeaps();
void FreeToIdleHeap();
void CrowdIdleHeap();
void CrowdPeer();
void SendToPeer();
void LetPeerVisit();
void LetPeerVisitAndHoldOneOfPeer();
void UseUp();
void UseUpAndFeedPeer();

void WarmUpAndLiftLimit();
void BlockPrimary();

// In the process that the trials are forked from:
void LetPurgeFallDue();
void LimitAddresses();
void RefusePrimary();

}  // namespace stepper

#endif  // AOMALLOC_TEST_STEPPER_SETUPS_H_
