#!/bin/bash
# The programs of the benchmark do their work, under the library and without, and
# print one number each.  What the number is does not matter here.
set -euo pipefail
export PATH=/usr/bin:/bin LC_ALL=C
unset LD_PRELOAD AO_MALLOC_ENABLE_MMAP
bench=$PWD/test/bench
failures=0

fail() {
  echo "FAILED: $*" >&2
  failures=$((failures + 1))
}

# number LIBRARY COMMAND...: the command prints a number above 0, and no word.
number() {
  local library=$1 output
  shift
  if ! output=$(LD_PRELOAD=$library AO_MALLOC_ENABLE_MMAP=1 "$@" 2>&1) ||
    [[ ! $output =~ ^[0-9]+(\.[0-9]+)?$ || $output =~ ^[0.]+$ ]]; then
    fail "${library:-no library}: ${*##*/}: $output"
  fi
}

# silent LIBRARY COMMAND...: the command succeeds and prints nothing.
silent() {
  local library=$1 output
  shift
  if ! output=$(LD_PRELOAD=$library AO_MALLOC_ENABLE_MMAP=1 "$@" 2>&1) ||
    [[ $output ]]; then
    fail "${library:-no library}: ${*##*/}: $output"
  fi
}

loops=$("$bench/micro" --list)
workloads=$("$bench/workload" --list)
memory=$("$bench/memory" --list)

for library in '' "$PWD/preload/libaomalloc.so" "$bench/libbump.so"; do
  for row in $loops; do
    number "$library" "$bench/micro" "$row" 0.001
  done
  for work in $workloads; do
    silent "$library" "$bench/workload" "$work" 2 0.001
  done
  silent "$library" "$bench/startup" 2
done

library=$PWD/preload/libaomalloc.so
if [[ $(uname -m) == x86_64 ]]; then
  number "$library" "$bench/micro" pair-64 --steps 10
  number "$library" "$bench/handler" 1
fi

# The driver and the programs know the same rows.
rows=$(/usr/bin/python3 -E -s -B "$bench/bench.py" --list --threads 1,2 | cut -d' ' -f1)
for row in $loops $memory; do
  grep -qx -- "$row" <<<"$rows" || fail "bench.py does not know the row $row"
done
for work in $workloads; do
  grep -qxE -- "$work-([12]|1000)" <<<"$rows" || fail "bench.py does not know the workload $work"
done

# What a command takes is told, and what becomes of it.
# shellcheck disable=SC2016
"$bench/measure" "$TEST_TMPDIR/usage" WORD=kept sh -c '[ $WORD = kept ] && kill -9 $$'
grep -q '"wall": [0-9.]*, "cpu": [0-9.]*, "rss_kib": [1-9][0-9]*,.* "exit": 0, "signal": 9}' \
  "$TEST_TMPDIR/usage" || fail "measure: $(<"$TEST_TMPDIR/usage")"

((!failures))
