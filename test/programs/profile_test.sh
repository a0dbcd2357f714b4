#!/bin/bash
# AO_MALLOC_PROFILE, AO_MALLOC_PROFILE_RATE and scripts/profile: what google-pprof
# and jeprof make of the profile of a program that leaks what is known.
source test/programs/common.sh
need addr2line google-pprof jeprof nm python3
profile=$PWD/scripts/profile
mkdir -p "$work"
cd "$work"

# about COLUMN FUNCTION BYTES FILE [PERCENT]: the tools agree that so much is the
# function's, within so many per cent, 10 unless told otherwise.
about() {
  local tool
  for tool in google-pprof jeprof; do
    PATH=$PATH $tool --text --show_bytes "--$1_space" "$helpers/profiled" "$4" \
      >"$tool.text" 2>errors || fail "$tool: $(<errors)"
    awk -v name="$2" -v bytes="$3" -v off="${5-10}" '
      $NF == name { found = $1 }
      END { exit !(found >= bytes * (1 - off / 100) && found <= bytes * (1 + off / 100)) }' "$tool.text" ||
      fail "$tool does not tell about $3 bytes of $2: $(<"$tool.text")"
  done
}
# told FILE PERCENT PERCENT: what the program did; leaks within so many per cent.
told() {
  about inuse leak_small $((100 << 20)) "$1" "$2"
  about inuse leak_large $((100 << 20)) "$1" "$3"
  about alloc churn $((1 << 30)) "$1"
  about alloc grow $((32 * 129 << 20)) "$1"
}

AO_MALLOC_PROFILE=$work/%p.heap with_library exec "$helpers/profiled" &
wait $!
# 200 samples of the one leak, 87 of the other: five standard deviations.
told $!.heap 35 21
[[ $(head -n 1 $!.heap) == *' @ heap_v2/524288' ]] || fail "$(head -n 1 $!.heap)"
! grep -q aomalloc <(google-pprof --text "$helpers/profiled" $!.heap 2>/dev/null) ||
  fail "the library's own functions are in the profile"

# Snapshots, while the program runs and after.
export AO_MALLOC_PROFILE=$work/running AO_MALLOC_PROFILE_RATE=16K
export AO_MALLOC_DUMP_SIGNAL=USR2 AO_MALLOC_STATS=$work/report
coproc LD_PRELOAD=$library AO_MALLOC_ENABLE_MMAP=1 exec "$helpers/profiled" wait
pid=$COPROC_PID
read -r line <&"${COPROC[0]}"
for number in 1 2; do
  kill -USR2 "$pid"
  for ((i = 0; i < 1000; ++i)); do
    grep -qs 'stack\]' running.$number && break
    sleep 0.01
  done
  told running.$number 10 10
done
echo >&"${COPROC[1]}"
wait "$pid" || fail "the program was disturbed: status $?"
told running 10 10
[[ $(head -n 1 running) == *' @ heap_v2/16384' ]] || fail "$(head -n 1 running)"
[[ ! -e running.3 ]] || fail "more snapshots than signals"

# The reports end with the stacks that have most. held FUNCTION MIB: in the last of them
# so much is the function's, within 10 per cent. A compiler may double the loop that
# calls it, which makes two stacks.
[[ $(grep -c '^live by stack' report) == 3 ]] || fail "stacks in $(grep -c '^live by stack' report) reports"
sed -n '/, at exit$/,$p' report >last
held() {
  local size address
  while read -r size address; do
    [[ $(addr2line -f -e "$helpers/profiled" "${address#*+}" | head -n 1) != "$1" ]] || echo "$size"
  done < <(awk '/ MiB +[0-9.]+ % / { size = $1; getline; print size, $1 }' last) |
    awk -v mib="$2" '{ sum += $1 } END { exit !(sum >= mib * 0.9 && sum <= mib * 1.1) }' ||
    fail "the report does not tell about $2 MiB of $1: $(<last)"
}
held leak_small 100
held leak_large 100
held leak_more 30
unset "${!AO_MALLOC_@}"

# In text, the most first. leaks FILE FUNCTION MIB: it is said to have so much, within
# 10 per cent.
leaks() {
  awk -v name="$2" -v mib="$3" '
    /^[0-9.]+ MiB \(/ { size = $1 }
    $1 == name && NF == 1 { found = size }
    END { exit !(found >= mib * 0.9 && found <= mib * 1.1) }' "$1" ||
    fail "$1 does not tell about $3 MiB of $2: $(<"$1")"
}
"$profile" --show --output shown.svg running >shown 2>errors || fail "--show: $(<errors)"
leaks shown leak_small 100
leaks shown leak_large 100
leaks shown leak_more 30
! grep -qE 'churn|grow|aomalloc' shown || fail "what was freed is live: $(<shown)"
head -n 3 shown | grep -qE '^1?[0-9]{2}\.[0-9] MiB \(4' || fail "the largest is not first: $(<shown)"
[[ $(grep -oE 'leak_(small|large|more)' shown | tail -n 1) == leak_more ]] || fail "not last: $(<shown)"
grep -q 'leak_small (' shown.svg || fail "what is live is not drawn"
! grep -q 'churn (' shown.svg || fail "what was freed is drawn"
"$profile" --diff --output grown.svg running.2 running >grown 2>errors || fail "--diff: $(<errors)"
leaks grown leak_more 30
! grep -qE 'leak_(small|large)' grown grown.svg || fail "what was live before: $(<grown)"
"$profile" --diff running.1 running.2 >grown 2>errors || fail "--diff: $(<errors)"
[[ $(<grown) == 'more is live: nothing that was sampled' ]] || fail "nothing came: $(<grown)"
"$profile" --leaks --rate 64K --output leaks.svg bash -c "'$helpers/profiled'; exit 3" >leaks \
  2>errors && fail "status 0"
[[ $? == 3 ]] || fail "--leaks: status $?: $(<errors)"
leaks leaks leak_small 100
grep -q 'profiled (process' leaks.svg || fail "the process is not named"
# Control-C is for the program. If that does not mind it, there is no profile.
coproc env --default-signal=INT setsid "$profile" --leaks "$helpers/profiled" wait 2>errors
pid=$COPROC_PID
read -r line <&"${COPROC[0]}"
kill -INT -- "-$pid"
wait "$pid" && fail "status 0"
grep -q '^aomalloc: no profile: .* takes snapshots' errors || fail "interrupted: $(<errors)"
# Names of C++ are as people write them. named SHORT LONG
named() {
  local short
  short=$(PYTHONPATH=${profile%/*}/lib /usr/bin/python3 -Bc \
    'import heap_profile, sys; print(heap_profile.short_name(sys.argv[1]))' "$2")
  [[ $short == "$1" ]] || fail "$2 is called $short"
}
named 'std::string::append(char const*)' \
  'std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::append(char const*)'
named 'void std::vector<std::vector<A<B>>>::f<C>(C)' \
  'void std::vector<std::vector<A<B>, std::allocator<A<B> > >, std::allocator<std::vector<A<B>, std::allocator<A<B> > > > >::f<C>(C)'
for wrong in /nonexistent report errors; do
  ! "$profile" --show "$wrong" >nothing 2>errors || fail "shown: $wrong"
  [[ $(<errors) == 'aomalloc: '* && $(wc -l <errors) == 1 && ! -s nothing ]] || fail "of $wrong: $(<errors)"
done
for wrong in '--show' '--diff running' '--leaks' '--leaks --diff a b'; do
  # shellcheck disable=SC2086
  "$profile" $wrong >nothing 2>errors && fail "not refused: $wrong"
  grep -q usage: errors || fail "of $wrong: $(<errors)"
done

# said LINE VARIABLE...: what the program says on stderr with the variables set.
said() {
  local line=$1
  shift
  env LD_PRELOAD="$library" "$@" "$helpers/profiled" 2>errors || fail "$*: status $?"
  [[ $(<errors) == "$line" ]] || fail "$* says: $(<errors)"
}
# The static heap would do, but that it is exhausted, and says so.
env LD_PRELOAD="$library" AO_MALLOC_PROFILE="$work/none" "$helpers/profiled" 2>errors || :
grep -qx 'aomalloc: no profile: there is none without AO_MALLOC_ENABLE_MMAP=1' errors ||
  fail "nothing said of the static heap: $(<errors)"
[[ ! -e none ]] || fail "a profile of the static heap"
export AO_MALLOC_ENABLE_MMAP=1
said 'aomalloc: AO_MALLOC_PROFILE=/nonexistent/profile: cannot be opened (error 2)' \
  AO_MALLOC_PROFILE=/nonexistent/profile
said 'aomalloc: AO_MALLOC_PROFILE_RATE=0 is not a size from 1, such as 512K; ignored' \
  AO_MALLOC_PROFILE_RATE=0
said '' AO_MALLOC_PROFILE_RATE=1M
unset AO_MALLOC_ENABLE_MMAP

# The picture, of a program and one that it starts.
"$profile" --rate 4K --output picture.svg bash -c "'$helpers/profiled'; exit 3" 2>errors && fail "status 0"
[[ $? == 3 ]] || fail "status $?: $(<errors)"
/usr/bin/python3 -I "$helpers/check_flame_graphs.py" picture.svg || fail "not the picture it should be"
[[ $(find picture.heap -type f | wc -l) == 2 ]] || fail "profiles: $(ls picture.heap)"
# What is little beside the rest is too narrow to be drawn; of equals both are.
"$profile" --rate 4K --output equals.svg bash -c 'bash -c :; exit 0' 2>errors || fail "status $?: $(<errors)"
[[ $(grep -oE 'bash \(process [0-9]+\)' equals.svg | sort -u | wc -l) == 2 ]] ||
  fail "not the processes that there were"
! "$profile" --output none.svg true 2>errors || fail "drawn without a sample"
grep -q 'no profile' errors || fail "nothing said: $(<errors)"
