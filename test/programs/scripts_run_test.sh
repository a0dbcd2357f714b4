#!/bin/bash
# scripts/run: usage, exit status, arguments, standard input, signals, both
# modes.
source test/programs/common.sh
need perl
hold=$helpers/hold
scripts=$PWD/scripts

# Bazel cannot be called while it runs this test: the script must not need it.
(
  # shellcheck source=scripts/lib.sh
  source "$(dirname "$(readlink -f "$scripts/run")")/lib.sh"
  up_to_date
) || fail 'the library is not up to date; scripts/build builds it'

# try STATUS [ARGUMENT]...: runs the script, which must return STATUS.
try() {
  run try "$scripts/run" "${@:2}"
  output=$(<"$TEST_TMPDIR/try/stdout")
  errors=$(<"$TEST_TMPDIR/try/stderr")
  [[ $(<"$TEST_TMPDIR/try/status") == "$1" ]] ||
    fail "scripts/run ${*:2}: not status $1; $output; $errors"
}

try 0 --help
[[ $output == 'usage: scripts/run '* && ! $errors ]] || fail '--help: no usage'
try 2
[[ ! $output && $errors == 'usage: scripts/run '* ]] || fail 'no usage'
try 2 --no-such-option true
[[ ! $output && $errors == *--no-such-option*usage:* ]] ||
  fail '--no-such-option: no usage'
try 127 no-such-program
[[ ! $output && $errors == *no-such-program* ]] ||
  fail 'no-such-program: not named'

try 0 true
[[ ! $output$errors ]] || fail "scripts/run says something: $output$errors"
try 42 sh -c 'exit 42'
try 143 sh -c 'kill -TERM $$'
try 0 printf '<%s>' 'a b' '' --static '*'
[[ $output == '<a b><><--static><*>' ]] || fail "not the arguments: $output"
try 0 -- printf x
[[ $output == x ]] || fail "not after --: $output"

try 0 cat /proc/self/maps
[[ $output == */libaomalloc.so* ]] || fail 'the library is not in the program'
try 0 "$hold" 1000
try 3 --static "$hold" 1000
answer=$(echo typed | "$scripts/run" cat)
[[ $answer == typed ]] || fail "not the standard input: $answer"
cd "$TEST_TMPDIR"
ln -s "$scripts/run" link
[[ $(./link pwd) == "$(pwd)" ]] || fail 'not through a link from elsewhere'
echo 'answers: all right'

# A signal that is sent to the script reaches the program.
# shellcheck disable=SC2016
coproc program {
  exec "$scripts/run" perl -e '$| = 1;
    $SIG{USR1} = sub { print "received\n"; exit 9 };
    alarm 20; print "ready\n"; sleep 1 while 1'
}
# shellcheck disable=SC2154
pid=$program_PID
read -r -u "${program[0]}" line
[[ $line == ready ]] || fail "the program says $line"
exec {output}<&"${program[0]}"
kill -USR1 "$pid"
status=0
wait "$pid" || status=$?
read -r -u "$output" line
[[ $line == received && $status == 9 ]] || fail "signal: $line, status $status"
echo 'signal: all right'
