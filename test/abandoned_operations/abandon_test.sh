#!/bin/bash
# abandon_test.sh PROGRAM: runs a program, given by its path in the source tree,
# on the library, with mmap and on the static heap.
set -euo pipefail
for mmap in 1 0; do
  echo "AO_MALLOC_ENABLE_MMAP=$mmap:"
  env LD_PRELOAD="$PWD/preload/libaomalloc.so" AO_MALLOC_ENABLE_MMAP=$mmap "$PWD/$1"
done
