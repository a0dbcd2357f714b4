#!/bin/bash
# Runs grow on both libraries, on the kernel that there is.
set -euo pipefail
for library in libaomalloc{,-hardened}.so; do
  echo "$library:"
  env LD_PRELOAD="$PWD/preload/$library" AO_MALLOC_ENABLE_MMAP=1 \
    "$PWD/test/kernels/grow"
done
