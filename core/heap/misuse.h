// Misuse: what a program may not do to a block. Each case is reported in one
// line on stderr, in a format that stays the same from version to version:
//
//   aomalloc: CALL(POINTER): WHAT (what is known of the block)
//
// Signal-safe; errno is not changed. Nothing here changes the heap, except for
// DropIfDamaged.
#ifndef AOMALLOC_CORE_HEAP_MISUSE_H_
#define AOMALLOC_CORE_HEAP_MISUSE_H_

#include <cstddef>

#include "core/arena/run.h"

namespace aomalloc {

// What follows the line. kAbort: the process is aborted. kWarn: the wrong call
// has no effect. kIgnore: the same, and no line is written.
enum class OnMisuse : AO_t { kAbort, kWarn, kIgnore };
void SetOnMisuse(OnMisuse choice);

// Calls `function` after the line, before the process is aborted. It must be
// signal-safe. To be called once, before there are threads.
void CallBeforeAbort(void (*function)());

namespace fault {
inline constexpr char kDoubleFree[] = "double free";
inline constexpr char kUseAfterFree[] = "use after free";
inline constexpr char kInside[] = "inside a block";
inline constexpr char kNotLive[] = "not a live block";
inline constexpr char kUnknown[] = "not a block of this allocator";
inline constexpr char kOverflow[] = "written to beyond its end";
inline constexpr char kWritten[] = "written to after it was freed";
}  // namespace fault

// Reports misuse of what is at `ptr`, by a call of the function `call`. `what`
// is one of the above. Does not return if the choice is kAbort.
void Misuse(const char* call, const void* ptr, const char* what);

// Reports a block that was freed with a size that it cannot have. Returns as
// Misuse does.
void SizeMisuse(const char* call, const void* ptr, size_t size);

// Called when slab::Pop has returned null. If the first block of the list was
// written to after it was freed, this empties the list and reports the block.
// What the list led to is lost, and true is returned. The caller holds the
// claim.
bool DropIfDamaged(FreeList* list);

// The fault of `ptr`, which is not a live block. `run` is memory::RunAt(ptr),
// and may be null.
const char* FaultOf(const Run* run, const void* ptr);

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_HEAP_MISUSE_H_
