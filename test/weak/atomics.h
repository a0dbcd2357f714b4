// Stands in for core/base/atomics.h, whose include guard it has: the compiler
// is told to include it first. The operations are those of the model, and know
// from where they are called.
#ifndef AOMALLOC_CORE_BASE_ATOMICS_H_
#define AOMALLOC_CORE_BASE_ATOMICS_H_

#include <cstddef>
#include <cstdint>

#include "test/weak/model.h"

namespace aomalloc {

// The place of the call, if a function has it as its last argument.
struct Caller {
  static constexpr Caller Here(const char* file = __builtin_FILE(),
                               int line = __builtin_LINE(),
                               const char* function = __builtin_FUNCTION()) {
    return {file, line, function};
  }
  weak::Site Site(const char* operation, weak::Order order) const {
    return {file, line, function, operation, order};
  }
  const char* file;
  int line;
  const char* function;
};

inline AO_t LoadRelaxed(const AtomicWord* word, Caller c = Caller::Here()) {
  return weak::Load(word, c.Site("LoadRelaxed", weak::kRelaxed));
}
inline AO_t LoadAcquire(const AtomicWord* word, Caller c = Caller::Here()) {
  return weak::Load(word, c.Site("LoadAcquire", weak::kAcquire));
}
inline void StoreRelaxed(AtomicWord* word, AO_t value,
                         Caller c = Caller::Here()) {
  weak::Store(word, value, c.Site("StoreRelaxed", weak::kRelaxed));
}
inline void StoreRelease(AtomicWord* word, AO_t value,
                         Caller c = Caller::Here()) {
  weak::Store(word, value, c.Site("StoreRelease", weak::kRelease));
}
inline bool CasRelaxed(AtomicWord* word, AO_t expected, AO_t desired,
                       Caller c = Caller::Here()) {
  return weak::Cas(word, expected, desired,
                   c.Site("CasRelaxed", weak::kRelaxed));
}
inline bool CasAcquire(AtomicWord* word, AO_t expected, AO_t desired,
                       Caller c = Caller::Here()) {
  return weak::Cas(word, expected, desired,
                   c.Site("CasAcquire", weak::kAcquire));
}
inline bool CasRelease(AtomicWord* word, AO_t expected, AO_t desired,
                       Caller c = Caller::Here()) {
  return weak::Cas(word, expected, desired,
                   c.Site("CasRelease", weak::kRelease));
}
inline bool CasFull(AtomicWord* word, AO_t expected, AO_t desired,
                    Caller c = Caller::Here()) {
  return weak::Cas(word, expected, desired, c.Site("CasFull", weak::kFull));
}

inline AO_t Sum(AO_t a, AO_t b) { return a + b; }
inline AO_t Either(AO_t a, AO_t b) { return a | b; }
inline AO_t Both(AO_t a, AO_t b) { return a & b; }

inline void AddRelaxed(AtomicWord* word, AO_t value,
                       Caller c = Caller::Here()) {
  weak::Exchange(word, Sum, value, c.Site("AddRelaxed", weak::kRelaxed));
}
inline AO_t CountRelaxed(AtomicWord* word, Caller c = Caller::Here()) {
  return weak::Exchange(word, Sum, 1, c.Site("CountRelaxed", weak::kRelaxed));
}
inline void ClearBitsRelease(AtomicWord* word, AO_t mask,
                             Caller c = Caller::Here()) {
  weak::Exchange(word, Both, ~mask, c.Site("ClearBitsRelease", weak::kRelease));
}
inline void ClearBits(AtomicWord* word, AO_t mask, Caller c = Caller::Here()) {
  weak::Exchange(word, Both, ~mask, c.Site("ClearBits", weak::kRelaxed));
}
inline void SetBits(AtomicWord* word, AO_t mask, Caller c = Caller::Here()) {
  weak::Exchange(word, Either, mask, c.Site("SetBits", weak::kRelaxed));
}
inline void SetBitsRelease(AtomicWord* word, AO_t mask,
                           Caller c = Caller::Here()) {
  weak::Exchange(word, Either, mask, c.Site("SetBitsRelease", weak::kRelease));
}
inline void RaiseTo(AtomicWord* mark, AO_t value, Caller c = Caller::Here()) {
  AO_t seen;
  while ((seen = LoadRelaxed(mark, c)) < value &&
         !CasRelaxed(mark, seen, value, c)) {
  }
}

// None: what it keeps right are hints (core/arena/free_hints.h), and nothing
// may depend on these.
inline void BarrierAfterUpdate() {}

template <typename T>
inline T Glance(const T& value) {
  return *const_cast<const volatile T*>(&value);
}

inline void CompilerBarrier() { __asm__ volatile("" ::: "memory"); }

template <typename T>
inline void Commit(T* word, T value) {
  CompilerBarrier();
  *const_cast<volatile T*>(word) = value;
  CompilerBarrier();
}

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_BASE_ATOMICS_H_
