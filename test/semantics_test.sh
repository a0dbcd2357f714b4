#!/bin/bash
# The same calls with the same arguments must have the same results as with the
# C library's own malloc.
set -euo pipefail
program=$PWD/test/semantics
library=$PWD/preload/libaomalloc.so
cd "$TEST_TMPDIR"

env -u LD_PRELOAD "$program" >expected
(($(wc -l <expected) > 4000))
LD_PRELOAD=$library AO_MALLOC_ENABLE_MMAP=1 "$program" >actual 2>errors
diff -u expected actual | head -n 50
cmp expected actual
[[ ! -s errors ]]
echo "$(wc -l <actual) results agree"
