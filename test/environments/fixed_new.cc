// A program at a fixed address that takes malloc's address: for all libraries
// this leads to a jump in the program. Frees a block as one of another size.
#include <stdlib.h>

#include <new>

int main() {
  void* (*volatile allocate)(size_t) = malloc;
  free(allocate(10));
  ::operator delete (::operator new(100), size_t{5000});
  return 0;
}
