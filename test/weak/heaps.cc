// Heaps: threads acquire them, work on them and release them; one may vanish
// at any point. New heaps are put on the registry.
#include "core/arena/memory.h"
#include "core/heap/heap.h"
#include "core/thread/registry.h"
#include "core/thread/remote_claim.h"
#include "core/thread/thread.h"
#include "test/weak/cases.h"
#include "test/weak/system.h"

namespace aomalloc::weak {
namespace {

constexpr int kBound = 2;

// The token of somebody who does not end, and has no part in the case.
constexpr AO_t kSomebody = AO_t{9} << Holder::kIdBits;

class HeapCase : public Case {
 public:
  using Case::Case;
  // All of the first heaps but `free` are held.
  void Prepare(int free) {
    system_.Use();
    memory::EnableMmap();
    for (int i = free; i < thread::kFirstHeaps; ++i) {
      StoreRelaxed(&thread::first_heaps[i].holder, kSomebody);
    }
    // The model has to know a claim word before an instruction that is written
    // out changes it. The next heap that is added lies behind this one.
    Heap* added = thread::AddHeaps(kSomebody);
    for (int i = 0; i < 4; ++i) {
      static_cast<void>(thread::first_heaps[i].claim.Peek());
      static_cast<void>(added[i].claim.Peek());
    }
  }

 protected:
  // What the holder of a heap has written to it.
  void Work(Heap* heap) {
    Expect(heap->next_held != heap, "it is somebody else's");
    Heap* const next = heap->next_held;
    heap->next_held = heap;
    heap->next_held = next;
  }

  System system_;
};

// Threads begin, use a heap and end. One may vanish.
class HolderCase : public HeapCase {
 public:
  HolderCase(const char* name, int mortal)
      : HeapCase(name, 2, mortal, kBound) {}
  void SetUp() override { Prepare(1); }
  void Run(int) override {
    const ClaimFrame frame;
    Heap* heap = thread::ClaimHeap(frame);
    Expect(heap != nullptr, "there is no heap");
    Work(heap);
    thread::Unclaim(heap, frame);
    thread::ReleaseHeaps();
  }
};

// Heaps are added, found by others and released.
class RegistryCase : public HeapCase {
 public:
  RegistryCase() : HeapCase("heaps, registry", 3, 0, kBound) {}
  void SetUp() override { Prepare(0); }
  void Run(int thread) override {
    const ClaimFrame frame;
    const AO_t token = (AO_t{10} + static_cast<AO_t>(thread))
                       << Holder::kIdBits;
    Heap* heap = thread == 1 ? thread::AddHeaps(token)
                             : thread::AcquireFree(token, frame);
    if (heap == nullptr) return;
    Work(heap);
    StoreRelease(&heap->holder, 0);
    thread::NoteFree(heap);
  }
};

// Writes to a heap, as only one may do at a time.
void Change(Heap* heap) { heap->runs(/*mapped=*/false).Recount(); }

// A thread works on a heap of its own, and others visit it, from theirs.
class VisitCase : public HeapCase {
 public:
  VisitCase() : HeapCase("heaps, visits", 3, 0, kBound) {}
  void SetUp() override {
    Prepare(0);
    Change(visited());
  }
  void Run(int thread) override {
    for (int i = 0; i < 2; ++i) {
      thread == 1 ? Work() : Visit(&thread::first_heaps[thread]);
    }
  }

 private:
  static Heap* visited() { return &thread::first_heaps[0]; }
  static void Work() {
    const ClaimFrame frame;
    static_cast<void>(visited()->claim.Peek());  // here others may go on
    if (!thread::ClaimHeld(visited(), frame)) return;
    Change(visited());
    visited()->claim.Release();
  }
  static void Visit(Heap* from) {
    if (!remote_claim::Begin(from, visited())) return;
    Change(visited());
    remote_claim::End(from);
  }
};

HolderCase holder("heaps, threads that end", 0);
const Listed listed_holder(&holder);
HolderCase vanishing("heaps, a thread that vanishes", 1);
const Listed listed_vanishing(&vanishing);
VisitCase visits;
const Listed listed_visits(&visits);
RegistryCase registry;
const Listed listed_registry(&registry);

}  // namespace
}  // namespace aomalloc::weak
