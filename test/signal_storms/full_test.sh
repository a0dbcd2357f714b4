#!/bin/bash
# Runs `full` on the static heap, of two sizes, and with mmap under a ceiling.
set -euo pipefail
full() {
  echo "$*:"
  env LD_PRELOAD="$PWD/preload/libaomalloc.so" "$1" "$2" "$PWD/test/signal_storms/full" \
    500 "$3" 2>errors || { cat errors; return 1; }
  cat errors
}
cd "$PWD"
full AO_MALLOC_ENABLE_MMAP=0 AO_MALLOC_STATIC_HEAP= $((2 << 20))
