// A library whose constructor comes before all others, and calls operator new.
#include <new>

namespace {
void* block;
__attribute__((constructor)) void Allocate() { block = ::operator new(100); }
}  // namespace

extern "C" void* FirstBlock() { return block; }
