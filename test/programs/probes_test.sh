#!/bin/bash
# The static probes: the library has those that the manual page lists, and gdb
# stops at each of them.
source test/programs/common.sh
need gdb readelf
unset DEBUGINFOD_URLS
mkdir -p "$work"
manual=$PWD/scripts/installed/aomalloc.1
cd "$work"

listed=$(sed -n '/^\.SH PROBES/,/^\.SH SEE/s/^\.B \([a-z_]*\)$/\1/p' "$manual" | sort)
[[ $listed == *refill* ]] || fail "no probes in $manual: $listed"

for each in "$library" "${library%.so}-hardened.so"; do
  there=$(readelf --notes "$each" | sed -n 's/^ *Name: //p' | sort -u)
  [[ $there == "$listed" ]] || fail "in ${each##*/}: $there; listed: $listed"

  printf '%s\n' "set environment LD_PRELOAD $each" \
    'set environment AO_MALLOC_ENABLE_MMAP 1' 'set breakpoint pending on' >commands
  for probe in $listed; do
    printf '%s\n' "break -probe-stap aomalloc:$probe" commands silent \
      "printf \"at $probe\\n\"" continue end >>commands
  done
  printf '%s\n' run >>commands
  gdb -nx -batch -x commands "$helpers/probed" >said 2>&1 || fail "$(<said)"
  for probe in $listed; do
    grep -q "^at $probe\$" said || fail "${each##*/} did not pass $probe: $(<said)"
  done
done
