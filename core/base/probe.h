// Static probes: places in the slow paths at which perf, bpftrace, SystemTap
// and gdb can stop, count, and read arguments. Probes in a slow path tell what
// a program makes the allocator do, where a count of calls of malloc would not.
//
// A probe is one nop. A note in the library says where it is and where its
// arguments are (sys/sdt.h, of systemtap-sdt-dev). Without that header, as with
// musl, there are none. aomalloc(1) lists the probes.
//
// Any thread and handler may pass any of them.
#ifndef AOMALLOC_CORE_BASE_PROBE_H_
#define AOMALLOC_CORE_BASE_PROBE_H_

#include <cstddef>

#if __has_include(<sys/sdt.h>)
#define SDT_USE_VARIADIC 1
#include <sys/sdt.h>
#define AOMALLOC_PROBE(...) STAP_PROBEV(aomalloc, __VA_ARGS__)
#else
#define AOMALLOC_PROBE(name, ...) Unused(__VA_ARGS__)
#endif

namespace aomalloc::probe {

template <typename... T>
void Unused(T... /*arguments*/) {}

// A heap has no free block at hand for requests of up to `bytes`.
[[gnu::always_inline]] inline void Refill(const void* heap, size_t bytes) {
  AOMALLOC_PROBE(refill, heap, bytes);
}

// A heap has made a slab at `base`, of blocks of `bytes` bytes.
[[gnu::always_inline]] inline void NewSlab(const void* heap, const void* base,
                                           size_t bytes) {
  AOMALLOC_PROBE(new_slab, heap, base, bytes);
}

// A span was allocated at `base`, for a request of `bytes` bytes.
[[gnu::always_inline]] inline void NewSpan(const void* base, size_t bytes) {
  AOMALLOC_PROBE(new_span, base, bytes);
}

// A heap takes the blocks that other threads have freed.
[[gnu::always_inline]] inline void Drain(const void* heap) {
  AOMALLOC_PROBE(drain, heap);
}

// An arena has grown by `bytes` bytes at `base`.
[[gnu::always_inline]] inline void Grow(const void* base, size_t bytes) {
  AOMALLOC_PROBE(grow, base, bytes);
}

// The system is asked to take back `bytes` bytes of free memory at `base`.
[[gnu::always_inline]] inline void Purge(const void* base, size_t bytes) {
  AOMALLOC_PROBE(purge, base, bytes);
}

// A request fails: there is no memory for it beside the `bytes` that are in
// use.
[[gnu::always_inline]] inline void Exhausted(size_t bytes) {
  AOMALLOC_PROBE(exhausted, bytes);
}

// A call of the program is wrong about a pointer: the texts of the message.
[[gnu::always_inline]] inline void Misuse(const char* call, const void* ptr,
                                          const char* what) {
  AOMALLOC_PROBE(misuse, call, ptr, what);
}

}  // namespace aomalloc::probe

#endif  // AOMALLOC_CORE_BASE_PROBE_H_
