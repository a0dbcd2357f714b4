// A flag that says: what follows is being changed.
#ifndef AOMALLOC_CORE_HEAP_MENDING_H_
#define AOMALLOC_CORE_HEAP_MENDING_H_

#include "core/base/atomics.h"

namespace aomalloc {

// Sets a flag while it lives. An operation that is abandoned meanwhile leaves
// the flag set.
class Mending {
 public:
  explicit Mending(bool* flag) : flag_(flag), outer_(*flag) {
    *flag_ = true;
    CompilerBarrier();
  }
  ~Mending() {
    CompilerBarrier();
    *flag_ = outer_;
  }
  Mending(const Mending&) = delete;
  Mending& operator=(const Mending&) = delete;

 private:
  bool* flag_;
  bool outer_;
};

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_MENDING_H_
