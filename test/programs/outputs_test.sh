#!/bin/bash
# Where AO_MALLOC_STATS and AO_MALLOC_PROFILE may point: whatever is there, the
# program ends as it would, soon, with a line or nothing; and no file is written,
# made or emptied through a link.
source test/programs/common.sh
need gawk python3
mkdir -p "$work"
cd "$work"

# ends [ASSIGNMENT]...: runs a program that ends with status 7, and so it must;
# sets errors.
ends() {
  local status=0
  env "$@" LD_PRELOAD="$library" AO_MALLOC_ENABLE_MMAP=1 \
    gawk 'BEGIN { exit 7 }' >output 2>errors </dev/null &
  local pid=$!
  for ((i = 0; i < 600; i++)); do
    kill -0 $pid 2>/dev/null || break
    sleep 0.05
  done
  kill -9 $pid 2>/dev/null && fail "$*: it hangs"
  wait $pid || status=$?
  [[ $status == 7 ]] || fail "$*: status $status: $(<errors)"
  errors=$(<errors)
}
# reports FILE: there is one report in it, as it should be.
reports() {
  [[ $(grep -c '^aomalloc: the heap of process [0-9]* ([^ ]*, mmap), at exit$' "$1") == 1 ]] ||
    fail "not one report in $1: $(<"$1")"
}
# refused PATH WHY: neither a report nor a profile can be written there.
refused() {
  local variable
  for variable in AO_MALLOC_STATS AO_MALLOC_PROFILE; do
    ends "$variable=$1"
    [[ $errors == "aomalloc: $variable=$1: cannot be opened$2" ]] ||
      fail "$variable=$1: $errors"
  done
}

# What is written as asked.
ends AO_MALLOC_STATS="$work/plain"
[[ ! $errors ]] || fail "a file: $errors"
reports plain
echo 'of before' >profile
ends AO_MALLOC_PROFILE="$work/profile"
[[ $(head -n 1 profile) == 'heap profile: '* ]] || fail "the profile is not written anew"

# Links, to something and to nothing, symbolic and hard; in the name of a folder
# they are what everybody uses.
echo precious >precious
ln -s precious symbolic
ln -s not_there dangling
ln precious hard
for link in symbolic dangling hard; do
  refused "$work/$link" ': it is a link'
done
[[ $(<precious) == precious && ! -e not_there ]] || fail 'written through a link'
ln -s . folder
ends AO_MALLOC_STATS="$work/folder/inside"
reports inside

# What is no file.
mkfifo fifo
refused "$work/fifo" ': nobody reads it'
refused "$work" ' (error 21)'
/usr/bin/python3 -I -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
refused "$work/socket" ': nobody reads it'
for device in /dev/full /dev/null; do
  for variable in AO_MALLOC_STATS AO_MALLOC_PROFILE; do
    ends "$variable=$device"
    [[ ! $errors ]] || fail "$variable=$device: $errors"
  done
done

# What the program was given open: by these names alone links are known.
for path in /dev/stderr /dev/fd/2 /proc/self/fd/2; do
  ends AO_MALLOC_STATS=$path
  reports errors
done
for path in /dev/stdout /dev/fd/1; do
  ends AO_MALLOC_STATS=$path
  reports output
  ends AO_MALLOC_PROFILE=$path
  grep -q '^heap profile: ' output || fail "no profile in $path"
done
echo before >appended
ends AO_MALLOC_STATS=/dev/fd/9 9>>appended
reports appended
[[ $(head -n 1 appended) == before ]] || fail 'what was there is gone'
refused /dev/fd/9 ' (error 9)'
refused /dev/fd/9x ' (error 2)'
refused /dev/fd/99999999999999999999 ' (error 2)'
# It was closed, and the number is another file's now.
echo precious >data
env AO_MALLOC_STATS=1 LD_PRELOAD="$library" AO_MALLOC_ENABLE_MMAP=1 \
  bash -c 'exec 2>&- && exec 2>>data && exit 7' 2>closed && fail 'status 0'
[[ $(<data) == precious ]] || fail "a report in the program's data"
reports closed
env AO_MALLOC_STATS=1 LD_PRELOAD="$library" AO_MALLOC_ENABLE_MMAP=1 \
  bash -c 'exec 2>>data && exit 7' 2>&- && fail 'status 0'
[[ $(<data) == precious ]] || fail "a report in data, stderr being closed: $(<data)"

# Few descriptors from the start; used up at the end; none allowed any more.
for limit in 4 20 49 60 201; do
  (
    ulimit -n $limit
    exec env AO_MALLOC_STATS=1 LD_PRELOAD="$library" AO_MALLOC_ENABLE_MMAP=1 \
      gawk 'BEGIN { exit 7 }'
  ) 2>errors && fail 'status 0'
  reports errors
done
for stats in 1 "$work/few"; do
  for limit in 3 10; do
    status=0
    env AO_MALLOC_STATS="$stats" LD_PRELOAD="$library" AO_MALLOC_ENABLE_MMAP=1 /usr/bin/python3 -I -c "
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, ($limit, $limit))
try:
    while True: os.dup(0)
except OSError:
    raise SystemExit(7)" 2>errors || status=$?
    [[ $status == 7 ]] || fail "descriptors used up: status $status: $(<errors)"
    if [[ $stats == 1 ]]; then
      reports errors
    else
      [[ $(<errors) == "aomalloc: AO_MALLOC_STATS=$stats: cannot be opened (error 24)" ]] ||
        fail "descriptors used up: $(<errors)"
    fi
  done
done

# Readers that are gone, stalled, slow; a terminal; a file that may not grow.
/usr/bin/python3 -I "$helpers/readers.py" "$library"
