// The dynamic loader's own allocator. What the loader needs before it has found
// a malloc comes from pages of its own. A program may get such a block (a
// link_map, say) and free it. It does no harm to ignore that free.
#ifndef AOMALLOC_CORE_LOADER_H_
#define AOMALLOC_CORE_LOADER_H_

namespace aomalloc::loader {

// True if `ptr` is probably in memory that the loader allocated for itself: in
// the pages of its data, or in a page where it has put the link_map of a
// library. Signal-safe; slow.
bool Allocated(const void* ptr);

}  // namespace aomalloc::loader

#endif  // AOMALLOC_CORE_LOADER_H_
