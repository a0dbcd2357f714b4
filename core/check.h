// Assertions of debug builds (--config=debug): invariants of the allocator's
// own structures. A failure names the place and aborts; nothing is allocated.
#ifndef AOMALLOC_CORE_CHECK_H_
#define AOMALLOC_CORE_CHECK_H_

#include "core/os.h"
#include "core/report.h"

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

#endif  // AOMALLOC_CORE_CHECK_H_
