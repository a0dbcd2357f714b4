// The thread-local variables of the program: the threads of a case, which are
// one thread for the system, have copies of their own.
#ifndef AOMALLOC_TEST_WEAK_THREAD_LOCALS_H_
#define AOMALLOC_TEST_WEAK_THREAD_LOCALS_H_

#include <link.h>
#include <string.h>

#include <cstddef>
#include <vector>

namespace aomalloc::weak {

inline struct {
  char* start = nullptr;
  size_t bytes = 0;
  std::vector<char> pristine;
} thread_locals;

inline void LoadVariables(const std::vector<char>& from) {
  memcpy(thread_locals.start, from.data(), thread_locals.bytes);
}

// Finds them, as they are before any case has run.
inline void FindThreadLocals() {
  if (thread_locals.start != nullptr) return;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void*) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          if (info->dlpi_phdr[i].p_type != PT_TLS) continue;
          thread_locals.start = static_cast<char*>(info->dlpi_tls_data);
          thread_locals.bytes = info->dlpi_phdr[i].p_memsz;
        }
        return 1;  // only the program itself
      },
      nullptr);
  thread_locals.pristine.assign(thread_locals.start,
                                thread_locals.start + thread_locals.bytes);
}

}  // namespace aomalloc::weak

#endif  // AOMALLOC_TEST_WEAK_THREAD_LOCALS_H_
