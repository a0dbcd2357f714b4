// Reports on the heap of a running program: where they go, in which form, when.
#ifndef AOMALLOC_PRELOAD_REPORTS_H_
#define AOMALLOC_PRELOAD_REPORTS_H_

namespace aomalloc::reports {

// What the environment says. False if it makes no sense; then it is ignored.
bool SetStats(const char* value);       // AO_MALLOC_STATS
bool SetFormat(const char* value);      // AO_MALLOC_STATS_FORMAT
bool SetDumpSignal(const char* value);  // AO_MALLOC_DUMP_SIGNAL

// Writes a report now. Signal-safe.
void Write(const char* occasion);

}  // namespace aomalloc::reports

#endif  // AOMALLOC_PRELOAD_REPORTS_H_
