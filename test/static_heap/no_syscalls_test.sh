#!/bin/bash
# Without mmap the library makes no system call once it is loaded: a program that
# allocates makes the very calls that it makes when it does not.
set -euo pipefail
program=$PWD/test/static_heap/no_syscalls
library=$PWD/preload/libaomalloc.so
cd "$TEST_TMPDIR"

# calls NAME [ARG...]: system calls between the marks, with their counts.
calls() {
  local name=$1
  shift
  strace -f -o "$name.trace" -E LD_PRELOAD="$library" \
    -E AO_MALLOC_ENABLE_MMAP=0 "$program" "$@"
  # Lines are PID CALL(...; a call that was cut in two is counted at its start.
  # futex: whether a thread has ended when it is waited for is a matter of luck.
  awk '/write\(-1, "begin"/ { inside = 1; next } /write\(-1, "end"/ { inside = 0 }
       inside && !/write\(2, "aomalloc: the static heap/ &&
       $2 ~ /^[a-z_0-9]+\(/ { sub(/\(.*/, "", $2); print $2 }' \
    "$name.trace" | grep -vx futex | sort | uniq -c >"$name"
}

calls idle idle
calls busy
[[ $(awk '$2 ~ /^clone3?$/ { print $1 }' idle) == 4 ]]
diff -u idle busy

# The user is told, once, why a request was refused.
[[ $(grep -c 'write(2, "aomalloc: the static heap' busy.trace) == 1 ]]
