// Which way a branch usually goes, so that the fast paths are laid out
// straight.
#ifndef AOMALLOC_CORE_LIKELY_H_
#define AOMALLOC_CORE_LIKELY_H_

namespace aomalloc {

[[gnu::always_inline]] inline bool Likely(bool condition) {
  return __builtin_expect(condition, true);
}

[[gnu::always_inline]] inline bool Unlikely(bool condition) {
  return __builtin_expect(condition, false);
}

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_LIKELY_H_
