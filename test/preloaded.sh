#!/bin/bash
# preloaded.sh LIBRARY PROGRAM [ARG...]: runs a GoogleTest program, given by its
# path in the source tree, on a library of preload/.  The program reports its
# cases to Bazel.
set -euo pipefail
export LD_PRELOAD=$PWD/preload/$1
program=$PWD/$2
shift 2
exec env AO_MALLOC_ENABLE_MMAP="${AO_MALLOC_ENABLE_MMAP-1}" "$program" "$@"
