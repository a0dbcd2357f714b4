#!/bin/bash
# storms_test.sh PROGRAM: runs a program, given by its path in the source tree,
# on the library, with mmap and on the static heap; `full` on the static heap of
# two sizes, and with mmap under a ceiling.
set -euo pipefail

# run PROGRAM VARIABLE... [-- ARGUMENT...]
run() {
  local program=$PWD/$1 variables=()
  shift
  while (($#)) && [[ $1 != -- ]]; do
    variables+=("$1")
    shift
  done
  echo "${variables[*]}:"
  env LD_PRELOAD="$PWD/preload/libaomalloc.so" "${variables[@]}" "$program" "${@:2}"
}

case $1 in
  */full)
    run "$1" AO_MALLOC_ENABLE_MMAP=0
    run "$1" AO_MALLOC_STATIC_HEAP=256K -- 500 $((256 << 10))
    run "$1" AO_MALLOC_ENABLE_MMAP=1 AO_MALLOC_LIMIT=4M -- 500 $((4 << 20))
    ;;
  *)
    run "$1" AO_MALLOC_ENABLE_MMAP=1
    run "$1" AO_MALLOC_ENABLE_MMAP=0
    ;;
esac
