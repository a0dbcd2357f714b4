// Hints to the compiler: which way a branch usually goes. They keep the fast
// paths free of taken jumps.
#ifndef AOMALLOC_CORE_BASE_LIKELY_H_
#define AOMALLOC_CORE_BASE_LIKELY_H_

namespace aomalloc {

[[gnu::always_inline]] inline bool Likely(bool condition) {
  return __builtin_expect(condition, true);
}

[[gnu::always_inline]] inline bool Unlikely(bool condition) {
  return __builtin_expect(condition, false);
}

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_BASE_LIKELY_H_
