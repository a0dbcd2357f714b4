// Assertions of debug builds (--config=debug), for invariants of the
// allocator's own structures. A failure writes the place to stderr and aborts.
// It allocates nothing. Other builds do not evaluate the condition.
#ifndef AOMALLOC_CORE_BASE_CHECK_H_
#define AOMALLOC_CORE_BASE_CHECK_H_

#include "core/base/line.h"
#include "core/base/os.h"

#ifdef AOMALLOC_DEBUG
#define AOMALLOC_CHECK(condition)                  \
  do {                                             \
    if (!(condition)) {                            \
      aomalloc::Line()                             \
          .Text(__FILE__ ":")                      \
          .Decimal(__LINE__)                       \
          .Text(": invariant broken: " #condition) \
          .Write();                                \
      aomalloc::os::Abort();                       \
    }                                              \
  } while (false)
#else
#define AOMALLOC_CHECK(condition) static_cast<void>(0)
#endif

#endif  // AOMALLOC_CORE_BASE_CHECK_H_
