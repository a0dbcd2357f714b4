#!/bin/bash
# scripts/heapmap draws a report and a running process.
source test/programs/common.sh
need gdb python3
heapmap=$PWD/scripts/heapmap
mkdir -p "$work"
cd "$work"

# drawn PICTURE: it is an SVG that says what must be in it.
drawn() {
  /usr/bin/python3 -I "$helpers/check_heapmap.py" "$1" || fail "not the picture it should be: $1"
}

AO_MALLOC_STATS=$work/report AO_MALLOC_STATS_FORMAT=json with_library \
  "$helpers/reported" </dev/null
"$heapmap" report report.svg 2>/dev/null
drawn report.svg

coproc LD_PRELOAD=$library AO_MALLOC_ENABLE_MMAP=1 exec "$helpers/reported"
pid=$COPROC_PID
read -r line <&"${COPROC[0]}"
[[ $line == ready ]] || fail "not ready: $line"
"$heapmap" "$pid" process.svg 2>errors || fail "$(<errors)"
drawn process.svg
echo >&"${COPROC[1]}"
wait "$pid" || fail "the program was disturbed: status $?"

for wrong in /nonexistent $$ "$helpers/reported"; do
  ! "$heapmap" "$wrong" wrong.svg >/dev/null 2>errors || fail "drawn: $wrong"
  [[ -s errors && ! -e wrong.svg ]] || fail "nothing said of $wrong"
done
