#!/bin/bash
# Little address space, little stack, many threads.
source test/environments/common.sh

need ls python3

# limited OPTION VALUE COMMAND...
limited() {
  ulimit "$1" "$2"
  shift 2
  "$@"
}

assert_served "$helpers/exercise"

# Of address space, in KiB.
for limit in 65536 131072 524288 4194304; do
  run_both "ls in $limit" limited -v "$limit" ls -l /usr/bin
  run_both "python3 in $limit" limited -v "$limit" python3 -c 'print(len([[]] * 1000))'
  run_both "threads in $limit" limited -v "$limit" "$helpers/exercise" 4
done

# Of stack, in KiB.
for limit in 64 256; do
  run_both "stack of $limit" limited -s "$limit" "$helpers/exercise" 4
  run_both "ls, stack of $limit" limited -s "$limit" ls -l /usr/bin
done

# As many as this system lets a process have (ulimit -u, pids.max of its cgroup).
many=2000
until "$helpers/exercise" $many 1 >/dev/null 2>&1; do
  ((many /= 2)) || fail 'no thread at all'
done
run_both "$many threads" "$helpers/exercise" $many 50
((many <= 500)) || many=500
run_both "$many threads in little" limited -v 4194304 "$helpers/exercise" $many 50
