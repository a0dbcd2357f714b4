// A library may still get blocks of glibc's heap: its malloc is the C
// library's, whatever was preloaded, if it is loaded with RTLD_DEEPBIND and
// that flag was not taken off (dlopen.cc). The program frees these blocks by
// ours. (For the reverse, a block of ours that such a library frees, nothing
// can be done: that call does not come here.)
//
// A pointer must be recognised as such a block without trusting it. glibc
// writes a header before each block, and other data around it. They are read by
// a system call that fails where there is no memory, and all of them must
// agree:
//
//   the main heap    The block lies between the program break when we were
//                    loaded and the one now. Nobody else uses that memory.
//   a thread's heap  It begins at a multiple of 64 MiB, with a header that has
//                    its length and leads to its arena, which is in such a heap
//                    too.
//   a large block    It is a mapping of its own, of whole pages: none of our
//                    arenas, of an image that the loader has mapped (images.h),
//                    of the first thread's stack, and not the caller's
//                    frame. (Other mappings of the program's own, of which
//                    nothing is known, pass.)
//
// In the first two, the chunk behind the block must say that the block is in
// use. (These are the rules of glibc 2.10 to 2.41. If they change, pointers are
// refused, as any that are not ours.) glibc checks further what passes here.
//
// Recognising a block is signal-safe. glibc's functions are not: they take
// locks, and looking them up for the first time may take locks too.
#include "preload/libc_heap.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena/memory.h"
#include "core/base/atomics.h"
#include "core/base/os.h"
#include "core/base/os_memory.h"
#include "core/neighbour.h"
#include "preload/images.h"

namespace aomalloc::preload {
namespace {

constexpr size_t kAlignment = 16;
constexpr size_t kSmallestChunk = 32;
constexpr size_t kHeapBytes = size_t{64} << 20;  // their size and alignment

// Flags in the low bits of a chunk's size.
constexpr size_t kPreviousInUse = 1;
constexpr size_t kMapped = 2;
constexpr size_t kOfThread = 4;
constexpr size_t kFlags = 7;

// The header before a block.
struct Chunk {
  size_t before;  // of a mapped chunk: bytes of the mapping before it
  size_t size;    // with its flags
};

// The header of a thread's heap.
struct ThreadHeap {
  uintptr_t arena;
  uintptr_t previous;
  size_t size;
};

uintptr_t first_break;

// True if memory from `start` to `end` may be a mapping of glibc's heap, which
// it will unmap: as far as is known, nothing else is there.
bool MayBeMapping(uintptr_t start, uintptr_t end) {
  const Range range = {start, end};
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const Arena* arena;
  for (int i = 0; (arena = memory::ArenaAt(i)) != nullptr; ++i) {
    const auto base = reinterpret_cast<uintptr_t>(arena->base());
    const size_t bytes = arena->units() * arena->unit_bytes();
    if (range.Meets({base, base + bytes})) return false;
  }
  return !range.Meets({here, here + 1}) && !range.Meets(FirstStack()) &&
         !IsInImage(range);
}

bool IsMapping(uintptr_t at, const Chunk& chunk, size_t size) {
  const size_t page = os::PageSize();
  Chunk last;
  return (chunk.size & kFlags) == kMapped && chunk.before % kAlignment == 0 &&
         (at - chunk.before) % page == 0 && (chunk.before + size) % page == 0 &&
         Read(at + size - sizeof(last), &last) &&
         MayBeMapping(at - chunk.before, at + size);
}

bool IsInMainHeap(uintptr_t at, size_t size) {
  const uintptr_t end = os::Break();
  return at >= first_break && at < end && size < end - at;
}

bool IsInThreadHeap(uintptr_t at, size_t size) {
  const uintptr_t start = at & ~(kHeapBytes - 1);
  ThreadHeap heap;
  const size_t offset = at - start;
  if (!Read(start, &heap) || heap.size > kHeapBytes || offset >= heap.size ||
      size >= heap.size - offset) {
    return false;
  }
  const uintptr_t first = heap.arena & ~(kHeapBytes - 1);
  ThreadHeap heap_of_arena;
  return Read(first, &heap_of_arena) && heap_of_arena.arena == heap.arena;
}

bool Owns(const void* ptr) {
  const uintptr_t block = reinterpret_cast<uintptr_t>(ptr);
  const uintptr_t at = block - sizeof(Chunk);
  Chunk chunk;
  if (block % kAlignment != 0 || !Read(at, &chunk)) return false;
  const size_t size = chunk.size & ~kFlags;
  if (size < kSmallestChunk || size % kAlignment != 0 || at + size < at) {
    return false;
  }
  if ((chunk.size & kMapped) != 0) return IsMapping(at, chunk, size);
  Chunk next;
  return ((chunk.size & kOfThread) != 0 ? IsInThreadHeap(at, size)
                                        : IsInMainHeap(at, size)) &&
         Read(at + size, &next) && (next.size & kPreviousInUse) != 0;
}

// glibc's function with this name, whatever else is preloaded.
template <typename Function>
Function* FromLibc(const char* name) {
  static AtomicWord libc;
  // Acquire, with the release below: what dlopen has done in another thread is
  // there for dlsym.
  void* handle = reinterpret_cast<void*>(LoadAcquire(&libc));
  if (handle == nullptr) {
    handle = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    StoreRelease(&libc, reinterpret_cast<AO_t>(handle));
  }
  // Under another name it comes behind us at least: not ours, which would call
  // itself.
  if (handle == nullptr) handle = RTLD_NEXT;
  return reinterpret_cast<Function*>(dlsym(handle, name));
}

void Free(void* ptr) { FromLibc<void(void*)>("free")(ptr); }

void* Reallocate(void* ptr, size_t size) {
  return FromLibc<void*(void*, size_t)>("realloc")(ptr, size);
}

size_t UsableSize(const void* ptr) {
  return FromLibc<size_t(const void*)>("malloc_usable_size")(ptr);
}

constexpr Neighbour kLibc{Owns, Free, Reallocate, UsableSize};

}  // namespace

void RecogniseLibcHeap() {
  first_break = os::Break();
  neighbour = &kLibc;
}

}  // namespace aomalloc::preload
