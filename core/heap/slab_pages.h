// Pages of slabs: those in which all blocks are free go back to the system,
// though other blocks of the slab are in use.
//
// A page is free if all blocks that overlap it are on the slab's free list, or
// left out. Before free pages are purged, LeaveOut takes the blocks that begin
// in them off the list: the purge destroys their links. A bit for each page in
// `purged_pages` notes that. When malloc has used up the list and there is
// nothing else to carve, CarvePage carves the blocks of one purged page again.
// Until then `carved_steps` is 0. So the fast path of free, which knows nothing
// of pages, leaves all frees in the slab to the slow path: the seal of a block
// that is left out is gone, and only the bit tells that it is free.
//
// A block that begins in another page and reaches into a purged one may be on
// the list, and come into use: its link is not in the purged page. Then that
// page has memory again, and the bit only says that blocks are left out.
//
// Who touches what: the operation that holds the claim of the slab's heap.
// IsLeftOut (slab.h) is for anybody.
//
// Commit: LeaveOut takes blocks off the list by one store for each gap, and
// commits with the store to `purged_pages`. CarvePage first clears the bit, and
// commits with the store to the list.
//
// Interruption: abandoned between its first store and its last, LeaveOut loses
// the blocks that are off the list already, at most all free blocks of the
// slab. CarvePage loses those of one page. They count as in use from then on,
// so that their pages are not purged. An operation that is abandoned later,
// while it purges, loses nothing: what memory a block has that is left out does
// not matter.
#ifndef AOMALLOC_CORE_HEAP_SLAB_PAGES_H_
#define AOMALLOC_CORE_HEAP_SLAB_PAGES_H_

#include <cstddef>
#include <cstdint>

#include "core/arena/run.h"
#include "core/heap/slab.h"

namespace aomalloc::slab {

inline size_t CountPages(Pages pages) {
  return static_cast<size_t>(__builtin_popcount(pages));
}

// True if so few blocks are in use that some pages are likely to be free, and
// if it does not take long to find out which. (Blocks in use that lie at random
// leave at least a quarter of the pages free.)
bool IsSparse(const Run* slab);

// The pages of which all overlapping blocks are free: those of which the system
// may have the memory. None if somebody has written to a block that is on the
// list. This follows the list.
Pages FreePages(const Run* slab);

// Leaves out the blocks that begin in `pages`, which are free.
void LeaveOut(Run* slab, Pages pages);

// Carves the blocks of a purged page. False if there is none.
bool CarvePage(Run* slab);

// To be called before a free in a slab with purged pages. If the slab is the
// head and there were many such frees, all its pages are carved again: it is in
// use in earnest, and frees shall be fast.
void NoteFree(Run* slab);

}  // namespace aomalloc::slab

#endif  // AOMALLOC_CORE_HEAP_SLAB_PAGES_H_
