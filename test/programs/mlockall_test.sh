#!/bin/bash
# mlockall, with each of its flags, with and without the right to lock more than
# 8 MiB, before and after blocks are allocated: as without the library. What is
# allocated after MCL_FUTURE is locked.
source test/programs/common.sh

assert_served "$helpers/locked" 0 1 1 1

# Of the static heap there are 2 MiB.
for enable_mmap in 1 0; do
  for flags in 1 2 3 5 6 7 0 8; do # MCL_CURRENT 1, MCL_FUTURE 2, MCL_ONFAULT 4
    for drop in 0 1; do
      for kilobytes in '0 100' '100 100' '600 700'; do
        # shellcheck disable=SC2086
        run_both "mlockall-$enable_mmap-$flags-$drop-${kilobytes/ /-}" \
          "$helpers/locked" "$drop" "$flags" $kilobytes
      done
    done
  done
done

enable_mmap=1
for flags in 1 2 3; do
  run_both "mlockall-much-$flags" "$helpers/locked" 0 "$flags" 3000 20000
done
grep -q 'mlockall(3): 0' "$TEST_TMPDIR/mlockall-1-3-1-100-100.with/stdout" ||
  fail 'nothing was locked, with the library and without it'
