#!/bin/bash
# The static heap serves a process that may only read, write and exit; glibc's
# heap does not, or the test would show nothing.
set -euo pipefail
strict=$PWD/test/static_heap/strict
library=$PWD/preload/libaomalloc.so

for heap in 2M 256K 16M; do
  said=$(env LD_PRELOAD="$library" AO_MALLOC_STATIC_HEAP=$heap "$strict" 2>&1) ||
    { echo "FAILED with $heap: status $?, $said"; exit 1; }
  echo "$heap: $said"
  [[ $said == *done* ]] || exit 1
done

status=0
(exec "$strict") >/dev/null 2>&1 || status=$?
[[ $status == 137 ]] || { echo "FAILED: without the library: status $status"; exit 1; }
