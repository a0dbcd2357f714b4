// Reports on the heap, as AO_MALLOC_STATS, AO_MALLOC_DUMP_SIGNAL and
// malloc_stats write them: text for people, or JSON for programs. Signal-safe,
// like the statistics in them (statistics.h): any thread and handler may write
// a report at any time.
#ifndef AOMALLOC_CORE_REPORT_HEAP_REPORT_H_
#define AOMALLOC_CORE_REPORT_HEAP_REPORT_H_

#include "core/base/output.h"

namespace aomalloc::heap_report {

// The program's name for the first line of texts: the last part of `path`, as
// far as it is short. To be called before the program starts.
void SetProgram(const char* path);

// Text for 80 columns. `occasion`, such as "at exit", ends the first line.
void WriteText(Output* out, const char* occasion);

// One line of JSON, with a map of the arenas:
//
//   {"process": 12, "occasion": "at exit", "mmap": true,
//    "memory": {"live": ..., ...}, "waste": {...}, "counts": {...},
//    "classes": [{"size": 16, "slabs": 1, ...}, ...],
//    "arenas": [{"base": "0x...", "unit": 65536, "runs": [
//      ["slab", UNITS, SIZE, BLOCKS, CARVED, CAPACITY, LEFT_OUT],
//      ["span", UNITS], ["kept", UNITS], ["own", UNITS], ["dirty", UNITS],
//      ["clean", UNITS]]}]}
//
// With a heap profile there is more before "arenas": what is estimated to be
// live, and the ten stacks that have most of it, innermost call first.
//
//    "profile": {"live": ..., "blocks": ..., "samples": ..., "stacks": ...,
//      "missed": ...},
//    "stacks": [{"bytes": ..., "blocks": ..., "samples": ...,
//      "calls": ["FILE+0x...", ...]}, ...],
//
// Sizes are in bytes. "classes" has the classes with a slab or a remote free.
// "dirty" and "clean" are free units, which may be other than zero or are known
// to be zero; neighbours of one kind are one element. Of a slab's free blocks,
// LEFT_OUT have no memory; "left_out" has the bytes of all of them. "mapped" is
// what is accessible. "resident" is null without mmap, and if the system
// refuses to answer. `occasion` is not escaped.
void WriteJson(Output* out, const char* occasion);

}  // namespace aomalloc::heap_report

#endif  // AOMALLOC_CORE_REPORT_HEAP_REPORT_H_
