#!/bin/bash
# AO_MALLOC_STATS, AO_MALLOC_STATS_FORMAT and AO_MALLOC_DUMP_SIGNAL: the report at
# exit and of a running program, against what the program is known to hold.
source test/programs/common.sh
need python3 ls dash
mkdir -p "$work"
cd "$work"

check() { /usr/bin/python3 -I "$helpers/check_report.py" "$@"; }

export AO_MALLOC_STATS_FORMAT=json AO_MALLOC_HUGE_PAGES=auto
AO_MALLOC_STATS=$work/exit.%p with_library "$helpers/reported" </dev/null
process=$(echo exit.*)
[[ $process == exit.[1-9]* ]] || fail "no report, or one without a process id: $process"
check "$process" 'at exit'
grep -q "\"process\": ${process#exit.}," "$process" || fail "not its process id"

# Reports of a program that goes on, and neither notices nor is changed.
coproc AO_MALLOC_STATS=$work/signal AO_MALLOC_DUMP_SIGNAL=USR2 \
  LD_PRELOAD=$library AO_MALLOC_ENABLE_MMAP=1 exec "$helpers/reported"
pid=$COPROC_PID
read -r line <&"${COPROC[0]}"
[[ $line == ready ]] || fail "not ready: $line"
for count in 1 2 3 4 5; do
  kill -USR2 "$pid"
  for ((i = 0; i < 600; i++)); do
    [[ -f signal && $(wc -l <signal) -ge $count ]] && break
    sleep 0.05
  done
  [[ $(wc -l <signal) == "$count" ]] || fail "no report $count after the signal"
done
check signal 'by signal'
mv signal by_signal
echo >&"${COPROC[1]}"
wait "$pid" || fail "the program was disturbed: status $?"
[[ $(wc -l <signal) == 1 ]] || fail "no report at exit after those by signal"

# For people, and on stderr; ls closes its own before it ends.
unset AO_MALLOC_STATS_FORMAT
AO_MALLOC_STATS=1 with_library ls >/dev/null 2>text
AO_MALLOC_STATS=1 enable_mmap=0 with_library ls >/dev/null 2>static_text
for file in text static_text; do
  grep -qx 'aomalloc: the heap of process [0-9]* (.*), at exit' "$file" ||
    fail "no report in $file"
  grep -q '^  in live blocks  *[0-9.]* KiB' "$file" || fail "no figures in $file"
  grep -q '.\{81\}' "$file" && fail "too wide: $file"
done

# said ASSIGNMENT...: what is said by a program that ends at once.
said() { env "$@" LD_PRELOAD="$library" dash -c : 2>&1; }
for value in AO_MALLOC_STATS= AO_MALLOC_STATS=0 AO_MALLOC_STATS_FORMAT=text \
  AO_MALLOC_DUMP_SIGNAL= AO_MALLOC_DUMP_SIGNAL=SIGHUP AO_MALLOC_DUMP_SIGNAL=12 \
  AO_MALLOC_DUMP_SIGNAL=SEGV,SigAbrt,usr2,4,11 AO_MALLOC_DUMP_SIGNAL=64; do
  [[ ! $(said "$value") ]] || fail "$value is not taken silently"
done
long=$(printf '%02000d' 0)
for value in AO_MALLOC_STATS_FORMAT=xml AO_MALLOC_DUMP_SIGNAL=KILL \
  AO_MALLOC_DUMP_SIGNAL=9 AO_MALLOC_DUMP_SIGNAL=65 AO_MALLOC_DUMP_SIGNAL=0 \
  AO_MALLOC_DUMP_SIGNAL=USR3 AO_MALLOC_DUMP_SIGNAL=10x 'AO_MALLOC_DUMP_SIGNAL=SEGV,' \
  'AO_MALLOC_DUMP_SIGNAL=,' AO_MALLOC_DUMP_SIGNAL=SEGV,,ABRT AO_MALLOC_DUMP_SIGNAL=SEGV,KILL \
  AO_MALLOC_DUMP_SIGNAL=STOP AO_MALLOC_DUMP_SIGNAL=19 AO_MALLOC_DUMP_SIGNAL=32 \
  'AO_MALLOC_DUMP_SIGNAL=SEGV ABRT' AO_MALLOC_DUMP_SIGNAL=SEGVSEGVSEGVSEGV "AO_MALLOC_STATS=/$long"; do
  message=$(said "$value")
  [[ $message == "aomalloc: ${value:0:100}"* && $message != *$'\n'* ]] ||
    fail "$value is not refused in one line: $message"
done
message=$(AO_MALLOC_STATS=/nonexistent/report with_library "$helpers/reported" 2>&1 </dev/null)
[[ $message == *'AO_MALLOC_STATS=/nonexistent/report: cannot be opened (error 2)' ]] ||
  fail "not told that the file cannot be opened: $message"
