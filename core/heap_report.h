// The report on the heap: what AO_MALLOC_STATS asks for, as people or programs
// read it. Signal-safe, like the statistics that it consists of (statistics.h):
// any thread and handler may write one at any moment.
#ifndef AOMALLOC_CORE_HEAP_REPORT_H_
#define AOMALLOC_CORE_HEAP_REPORT_H_

#include "core/output.h"

namespace aomalloc::heap_report {

// For 80 columns. `occasion` ends the first line ("at exit").
void WriteText(Output* out, const char* occasion);

// One line of JSON, with a map of the arenas:
//
//   {"process": 12, "occasion": "exit", "mmap": true,
//    "memory": {"live": ..., ...}, "waste": {...}, "events": {...},
//    "classes": [{"size": 16, "slabs": 1, ...}, ...],     those that have any
//    "arenas": [{"base": "0x...", "unit": 65536, "runs": [
//      ["slab", UNITS, SIZE, BLOCKS, CARVED, CAPACITY], ["span", UNITS],
//      ["kept", UNITS], ["own", UNITS], ["dirty", UNITS], ["clean", UNITS]]}]}
//
// "dirty" and "clean" are free units that have and have not been written to.
// Sizes are in bytes; "resident" is null where the system does not tell.
void WriteJson(Output* out, const char* occasion);

}  // namespace aomalloc::heap_report

#endif  // AOMALLOC_CORE_HEAP_REPORT_H_
