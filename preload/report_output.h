// Reports on the heap of a running program: where they are written, in which
// format, and when.
#ifndef AOMALLOC_PRELOAD_REPORT_OUTPUT_H_
#define AOMALLOC_PRELOAD_REPORT_OUTPUT_H_

namespace aomalloc::report_output {

// The values of environment variables. False if the value is invalid; it is
// ignored then. SetStats also asks for reports at misuse that ends the process,
// and at the first request that fails.
bool SetStats(const char* value);   // AO_MALLOC_STATS
bool SetFormat(const char* value);  // AO_MALLOC_STATS_FORMAT

// Prepares for Write: if SetStats has set no path, reports go to stderr.
void Expect();

// Writes a report now; `occasion` is part of it. Signal-safe.
void Write(const char* occasion);

// True once after a report at misuse, which is followed by SIGABRT.
bool WasMisuse();

}  // namespace aomalloc::report_output

#endif  // AOMALLOC_PRELOAD_REPORT_OUTPUT_H_
