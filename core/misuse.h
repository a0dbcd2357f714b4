// Misuse: what a program did to a block that it may not do, told in one line on
// stderr that is the same in each version:
//
//   aomalloc: CALL(POINTER): WHAT (what is known of the block)
//
// Signal-safe. Nothing here changes the heap.
#ifndef AOMALLOC_CORE_MISUSE_H_
#define AOMALLOC_CORE_MISUSE_H_

#include <cstddef>

#include "core/run.h"

namespace aomalloc {

// What follows the line. With kWarn and kIgnore, which writes none, the call
// that was wrong has no effect.
enum class OnMisuse : AO_t { kAbort, kWarn, kIgnore };
void SetOnMisuse(OnMisuse choice);

namespace fault {
inline constexpr char kDoubleFree[] = "double free";
inline constexpr char kUseAfterFree[] = "use after free";
inline constexpr char kInside[] = "inside a block";
inline constexpr char kNotLive[] = "not a live block";
inline constexpr char kForeign[] = "not a block of this allocator";
inline constexpr char kOverflow[] = "written to beyond its end";
inline constexpr char kWritten[] = "written to after it was freed";
}  // namespace fault

// Reports misuse of what is at `ptr`; `what` is one of the above.
void Misuse(const char* call, const void* ptr, const char* what);

// Reports a block freed with a size that it cannot have.
void SizeMisuse(const char* call, const void* ptr, size_t size);

// What is wrong with `ptr`, if it is not a live block; `run` is
// memory::RunAt(ptr).
const char* FaultOf(const Run* run, const void* ptr);

}  // namespace aomalloc

#endif  // AOMALLOC_CORE_MISUSE_H_
