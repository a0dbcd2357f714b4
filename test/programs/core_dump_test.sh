#!/bin/bash
# A core dump that a debugger makes holds the heap, beside guards too.
source test/programs/common.sh
need gdb
unset DEBUGINFOD_URLS
mkdir -p "$work"
cd "$work"

# dump LIBRARY
dump() {
  rm -f core
  gdb -nx -batch -ex "set environment LD_PRELOAD $1" \
    -ex 'set environment AO_MALLOC_ENABLE_MMAP 1' -ex run \
    -ex 'generate-core-file core' "$helpers/dumped" >said 2>&1 || fail "$(<said)"
  [[ -s core ]] || fail "no core dump: $(<said)"
  # Blocks all over the heap, and a large one.
  gdb -nx -batch -ex 'printf "%s\n", *(char**)&blocks' \
    -ex 'printf "%s\n", ((char**)&blocks)[10000]' \
    -ex 'printf "%s\n", ((char**)&blocks)[19900]' \
    -ex 'printf "%s\n", *(char**)&large + 2999900' \
    "$helpers/dumped" core 2>&1 | tail -n 4
}

expected=$'number 0\nnumber 10000\nnumber 19900\nthe end'
for each in "$library" "${library%.so}-hardened.so"; do
  [[ -r $each ]] || fail "no library at $each"
  got=$(dump "$each")
  [[ $got == "$expected" ]] || fail "in the core dump of ${each##*/}: $got"
done
