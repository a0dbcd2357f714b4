// The dynamic loader's own early allocator: what the loader needs before it has
// found a malloc comes from its own pages. A program that gets at such a block
// (of link_map and kin) and frees it does no harm if nothing is done.
#ifndef AOMALLOC_CORE_LOADER_H_
#define AOMALLOC_CORE_LOADER_H_

namespace aomalloc::loader {

// True if `ptr` is in memory that the loader allocated for itself, as far as
// can be told: in the pages of its data, or in one where it has put the
// description of a library. Signal-safe; slow.
bool Allocated(const void* ptr);

}  // namespace aomalloc::loader

#endif  // AOMALLOC_CORE_LOADER_H_
