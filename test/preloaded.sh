#!/bin/bash
# preloaded.sh PROGRAM [ARG...]: runs a GoogleTest program, given by its path in
# the source tree, on the library.  The program reports its cases to Bazel.
set -euo pipefail
program=$PWD/$1
shift
export LD_PRELOAD=$PWD/preload/libaomalloc.so
exec env AO_MALLOC_ENABLE_MMAP="${AO_MALLOC_ENABLE_MMAP-1}" "$program" "$@"
