#!/bin/bash
# A program that needs more than the static heap: malloc returns NULL with
# ENOMEM, and one line on standard error names the variable to set.  With mmap
# enabled it gets its memory, and nothing is said.
source test/programs/common.sh

assert_served "$helpers/hold" 1

enable_mmap=0
run static with_library "$helpers/hold" 1000
cd "$TEST_TMPDIR/static"
cat stdout stderr
[[ $(<status) == 3 ]] || fail 'static heap: no NULL when memory is short'
diff - <(tail -n +2 stdout) <<'END' || fail 'static heap: wrong answers'
then NULL, errno is ENOMEM
asked again: NULL, errno is ENOMEM
asked again: NULL, errno is ENOMEM
asked again: NULL, errno is ENOMEM
asked after a free: a block
END
blocks=$(sed -nE '1s/^([0-9]+) blocks of 64 KiB$/\1/p' stdout)
((blocks >= 16 && blocks < 32)) ||
  fail "static heap: $blocks blocks of 64 KiB in 2 MiB"
[[ $(wc -l <stderr) == 1 ]] || fail 'static heap: not one line of errors'
grep -q AO_MALLOC_ENABLE_MMAP stderr ||
  fail 'static heap: the line does not name AO_MALLOC_ENABLE_MMAP'

enable_mmap=1
run_both mmap "$helpers/hold" 1000
cd "$TEST_TMPDIR/mmap.with"
grep -qx '1000 blocks of 64 KiB' stdout || fail 'mmap: memory was refused'
[[ ! -s stderr ]] || fail 'mmap: the library said something'
