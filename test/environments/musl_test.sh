#!/bin/bash
# Programs on another C library, musl: the library is the same.
source test/environments/common.sh

need musl-gcc

for program in exercise hold musl_dlopen; do
  source=$helpers/$program.c
  [[ -r $source ]] || source=test/programs/$program.c
  musl-gcc -O1 -fno-builtin "$source" -o "$TEST_TMPDIR/$program" -lpthread
  if readelf -d "$TEST_TMPDIR/$program" | grep -F 'libc.so.6'; then
    fail "$program is not linked to musl"
  fi
done

run_both threads "$TEST_TMPDIR/exercise" 8
run_both 'blocks' "$TEST_TMPDIR/hold" 1000
musl-gcc -O1 -fPIC -shared test/programs/plugin.c -o "$TEST_TMPDIR/plugin.so"
run_both dlopen "$TEST_TMPDIR/musl_dlopen" "$TEST_TMPDIR/plugin.so"

# That it is served shows where memory ends, and that the environment is read.
enable_mmap=0
run limited with_library "$TEST_TMPDIR/hold" 1000
[[ $(<"$TEST_TMPDIR/limited/status") == 3 ]] || fail 'it is not limited'
grep -q '^aomalloc: the static heap .* is full' "$TEST_TMPDIR/limited/stderr"
enable_mmap=perhaps
run warned with_library "$TEST_TMPDIR/hold" 1
grep -q '^aomalloc: AO_MALLOC_ENABLE_MMAP=perhaps ' "$TEST_TMPDIR/warned/stderr"
