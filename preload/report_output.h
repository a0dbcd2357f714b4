// Reports on the heap of a running program: where they are written, in which
// format, and when.
#ifndef AOMALLOC_PRELOAD_REPORT_OUTPUT_H_
#define AOMALLOC_PRELOAD_REPORT_OUTPUT_H_

namespace aomalloc::report_output {

// The values of environment variables. False if the value is invalid; it is
// ignored then. SetStats has to come before SetDumpSignal.
bool SetStats(const char* value);       // AO_MALLOC_STATS
bool SetFormat(const char* value);      // AO_MALLOC_STATS_FORMAT
bool SetDumpSignal(const char* value);  // AO_MALLOC_DUMP_SIGNAL

// Writes a report now; `occasion` is part of it. Signal-safe.
void Write(const char* occasion);

}  // namespace aomalloc::report_output

#endif  // AOMALLOC_PRELOAD_REPORT_OUTPUT_H_
