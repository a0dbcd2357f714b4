#!/bin/bash
# The commands for gdb, on a core dump and on a live process: what pointers are, and
# the report, against what the program did.
source test/programs/common.sh
need gdb python3
unset DEBUGINFOD_URLS
commands=$PWD/scripts/installed/aomalloc-gdb.py
mkdir -p "$work"
cd "$work"

# ask GDB_ARGUMENT...: what the commands say of each pointer of inspected.
ask() {
  local name questions=()
  for name in live live_inside large large_inside freed freed_elsewhere \
    freed_large on_stack of_program; do
    questions+=(-ex "printf \"$name \"" -ex "aomalloc what *(unsigned long*)&$name")
  done
  gdb -nx -batch "$@" -ex "source $commands" "${questions[@]}" \
    -ex 'aomalloc report' >answers 2>errors ||
    fail "gdb: $(<errors)"
  while read -r name pattern; do
    grep -qE "^$name 0x[0-9a-f]+: $pattern\$" answers ||
      fail "$name: $(grep "^$name " answers), not '$pattern'; $(<errors)"
  done <<'END'
live a block of class 1024, 1024 bytes, number [0-9]+ of [0-9]+ of the slab at 0x[0-9a-f]+, heap 0x[0-9a-f]+: live
live_inside 100 bytes inside a block of class 1024 at 0x[0-9a-f]+, 1024 bytes, .*: live
large a large block, 50[0-9]+ bytes, live
large_inside 4999999 bytes inside a large block at 0x[0-9a-f]+, 50[0-9]+ bytes, live
freed a block of class 1024, .*: free
freed_elsewhere a block of class 1024, .*: free, not sent home yet by who freed it
freed_large in free memory of the heap
on_stack not an address of aomalloc
of_program not an address of aomalloc
END
  grep -qE '^ +their bytes +4\.[89] MiB$' answers || fail "no spans: $(<answers)"
  grep -qE '^ +freed elsewhere, on their way home +1\.0 KiB ' answers ||
    fail "not one away: $(<answers)"
  grep -qE '^ +1,024 +[2-9] +99 ' answers || fail "not 99 blocks: $(<answers)"
}

# gdb makes the dump: where the kernel would write it is the system's affair. Of
# the address space that is reserved only what is used is in it.
ulimit -f 200000
gdb -nx -batch -ex "set environment LD_PRELOAD $library" \
  -ex 'set environment AO_MALLOC_ENABLE_MMAP 1' -ex run \
  -ex 'generate-core-file core' "$helpers/inspected" >said 2>&1 || fail "$(<said)"
[[ -s core ]] || fail "no core dump: $(<said)"
ask "$helpers/inspected" core
# A library without any symbol but those that it exports will do.
strip -o stripped.so "$library"
ask -ex "set environment LD_PRELOAD $PWD/stripped.so" \
  -ex 'set environment AO_MALLOC_ENABLE_MMAP 1' -ex run "$helpers/inspected"

gdb -nx -batch -ex "source $commands" -ex start -ex 'aomalloc report' \
  "$helpers/inspected" >answers 2>&1 || :
grep -q 'aomalloc is not loaded' answers ||
  fail "not told that there is nothing to see: $(<answers)"
