#!/bin/bash
# A system that promises no more memory than it has (vm.overcommit_memory=2):
# programs run as they do without the library, and what cannot be promised gets
# NULL and ENOMEM.
#
# The setting is the whole system's.  So the limit is set so high that nobody
# else meets it: above what is promised already there is room for one block of
# 40 TiB, which is not touched, and for 30 TiB more.
source test/programs/common.sh
need python3

system=/proc/sys/vm
blocks_of=40 room=70

exec 9<"$system/overcommit_memory"
flock 9 # Another run of this test may be at it.
mode=$(<"$system/overcommit_memory")
ratio=$(<"$system/overcommit_ratio")
kbytes=$(<"$system/overcommit_kbytes")

restore() {
  echo "$mode" >"$system/overcommit_memory"
  # Setting one of these unsets the other.
  if ((kbytes)); then
    echo "$kbytes" >"$system/overcommit_kbytes"
  else
    echo "$ratio" >"$system/overcommit_ratio"
  fi
}

promised=$(awk '$1 == "Committed_AS:" { print $2 }' /proc/meminfo)
if ! (echo $((promised + (room << 30))) >"$system/overcommit_kbytes"); then
  not_here "$system cannot be written: vm.overcommit_memory is as it is"
fi
trap restore EXIT
echo 2 >"$system/overcommit_memory"

run_both promise timeout 100 "$helpers/promise" $blocks_of
[[ $(grep '^[fs]' "$TEST_TMPDIR/promise.with/stdout") == \
  'first: a block'*'second: NULL'* ]] ||
  fail "$(<"$TEST_TMPDIR/promise.with/stdout")"
run_both ls ls -l /usr/bin
run_both python python3 -c 'print(sum(len("x" * n) for n in range(3000)))'
