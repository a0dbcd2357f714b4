#!/bin/bash
# AO_MALLOC_DUMP_SIGNAL with signals that end a program: there is one report, and
# the program ends as it would, whatever it was doing. And the reports at misuse
# and when memory runs out.
source test/programs/common.sh
need python3
ulimit -c 0
mkdir -p "$work"
cd "$work"

# crashes STATUS ARG... [-- ASSIGNMENT...]: crashed ends with that status, and soon.
# Leaves the reports in `reports`, and what it prints in `output` and `errors`.
crashes() {
  local expected=$1 arguments=() status
  shift
  while (($#)) && [[ $1 != -- ]]; do
    arguments+=("$1")
    shift
  done
  rm -f reports
  # In a shell of its own, which is to say nothing of the signal.
  status=$(
    exec 2>/dev/null
    timeout 60 env LD_PRELOAD="$library" AO_MALLOC_ENABLE_MMAP=$enable_mmap \
      AO_MALLOC_STATS="$work/reports" AO_MALLOC_DUMP_SIGNAL=SEGV,ABRT "${@:2}" \
      "$helpers/crashed" "${arguments[@]}" >"$work/output" 2>"$work/errors"
    echo $?
  ) || :
  what="${arguments[*]} ${*:2}, mmap $enable_mmap"
  [[ $status == "$expected" ]] || fail "$what: status $status: $(<errors)"
}
# reported OCCASION...: those are the reports, and each is whole.
reported() {
  local occasions
  [[ -e reports ]] || : >reports
  occasions=$(sed -n 's/^aomalloc: the heap of process [0-9]* ([a-z, ]*), //p' reports)
  [[ $occasions == "$(printf '%s\n' "$@")" ]] || fail "$what: reported: $occasions; $(<errors)"
  [[ $(grep -c '^slabs, by the size' reports) == "$#" ]] || fail "$what: cut off: $(<reports)"
}

for enable_mmap in 0 1; do
  for how in null raise malloc handler; do
    crashes 139 $how
    reported 'at SIGSEGV'
    [[ ! $(<errors) ]] || fail "$what: $(<errors)"
  done
  crashes 134 abort
  reported 'at SIGABRT'
  # Of the child alone: its parent goes on, and reports at its end.
  crashes 11 fork -- "AO_MALLOC_STATS=$work/of.%p"
  [[ $(head -n 1 "of.$(<output)") == *'), at SIGSEGV' ]] || fail "the child: $(ls)"
  [[ $(cat of.* | grep -c ', at exit$') == 1 ]] || fail "the parent: $(ls)"
  rm of.*

  # Other signals of the list are not in the way, and those that are not in it are not heard.
  crashes 139 raise -- AO_MALLOC_DUMP_SIGNAL=usr2,11
  reported 'at SIGSEGV'
  crashes 139 null -- AO_MALLOC_DUMP_SIGNAL=ABRT,USR2
  reported

  # Where there is no stack for it, it cannot run; on a small one it can.
  crashes 139 overflow
  reported
  crashes 139 small
  reported 'at SIGSEGV'
  crashes 139 small -- AO_MALLOC_STATS_FORMAT=json
  /usr/bin/python3 -I -c 'import json; assert json.load(open("reports"))["occasion"] == "at SIGSEGV"' ||
    fail "$what: $(<reports)"

  # The program's own handler, if it was installed later: its word counts.
  crashes 9 null ends
  reported
  crashes 139 null chains
  reported 'at SIGSEGV'
  [[ $(<output) == own ]] || fail "$what: $(<output)"
  crashes 134 abort chains
  reported 'at SIGABRT'
  crashes 9 null asks
  [[ $(<errors) == 'aomalloc: the heap of process '*', malloc_stats'* ]] || fail "$what: $(<errors)"
  # If it was installed before, it runs as if there had been nothing else.
  crashes 9 null late -- LD_PRELOAD= LATE_LIBRARY="$library"
  reported 'at SIGSEGV'
  [[ $(<output) == 'signal 11 code 1 address 16 in fault' ]] || fail "$what: $(<output)"
  crashes 9 raise late -- LD_PRELOAD= LATE_LIBRARY="$library"
  [[ $(<output) == "signal 11 code -6 address "*[0-9] ]] || fail "$what: $(<output)"

  # If the system refuses to have the handler taken away.
  crashes 139 refused
  reported 'at SIGSEGV'
  # If it pretends to. Then there are some reports, not reports for ever.
  crashes 139 faked

  # Whoever is through first ends the process.
  crashes 139 threads
  grep -q ', at SIGSEGV$' reports || fail "$what: $(<errors)"

  # Misuse, with AO_MALLOC_STATS alone; and there are no two reports of one thing.
  for signals in '' SEGV ABRT; do
    crashes 134 twice -- AO_MALLOC_DUMP_SIGNAL=$signals
    reported 'at misuse'
    [[ $(<errors) == *': double free ('* && $(wc -l <errors) == 1 ]] || fail "$what: $(<errors)"
  done
  crashes 4 twice -- AO_MALLOC_ON_ERROR=warn
  reported 'at exit'
done

# A fault in the report: it ends there.
crashes 139 report
if [[ ! -s reports || $(<errors) ]] || grep -q 'slabs, by the size' reports; then
  fail "no fault in the report: $(<reports)$(<errors)"
fi

# How much of a stack for handlers a report takes, and a profile.
for format in text json; do
  crashes 0 depth -- AO_MALLOC_DUMP_SIGNAL=USR2 AO_MALLOC_STATS_FORMAT=$format \
    AO_MALLOC_PROFILE="$work/profile" AO_MALLOC_PROFILE_RATE=1
  (($(<output) >= 500 && $(<output) < 2048)) || fail "$what: $(<output) bytes of stack"
done

# As others install their handlers.
status=0
(AO_MALLOC_STATS=$work/python AO_MALLOC_DUMP_SIGNAL=SEGV with_library python3 -X faulthandler \
  -c 'import ctypes; ctypes.string_at(0)') 2>errors || status=$?
[[ $status == 139 && $(head -n 1 python) == *', at SIGSEGV' ]] || fail "python: status $status: $(<errors)"
grep -q '^Fatal Python error: Segmentation fault' errors || fail "python: $(<errors)"

# Once, when memory runs out; the program goes on.
for enable_mmap in 0 1; do
  what="exhausted, mmap $enable_mmap"
  rm -f reports
  AO_MALLOC_STATS=$work/reports AO_MALLOC_LIMIT=16M with_library \
    "$helpers/hold" 1000 >output 2>errors && fail "$what: it was not"
  reported 'out of memory' 'at exit'
done
