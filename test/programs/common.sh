# shellcheck shell=bash
# Sourced by every test of this folder, from the top of its runfiles.
#
# A test runs an unmodified program twice, on the C library's malloc and under
# libaomalloc.so, each time in a new, empty directory of the same name.  Its
# output, its errors, its exit status and every file it leaves behind must be
# the same, byte for byte.

set -euo pipefail

library=$PWD/preload/libaomalloc.so
# shellcheck disable=SC2034
helpers=$PWD/test/programs
work=$TEST_TMPDIR/work  # The current directory, and HOME, of every run.
enable_mmap=1           # AO_MALLOC_ENABLE_MMAP; 0 to test the static heap.
expected_status=0       # What the program of run_both returns.
normalise=              # For sed -E: takes process ids out of the output.

unset LD_PRELOAD AO_MALLOC_ENABLE_MMAP
export PATH=/usr/bin:/bin LC_ALL=C.UTF-8 TZ=UTC
export HOME=$work TMPDIR=$TEST_TMPDIR/tmp
umask 022 # What others are to read they may.
mkdir -p "$TMPDIR"

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# not_here REASON...: ends the test, which counts as skipped.
not_here() {
  printf 'SKIPPED: %s\n' "$*" >&2
  local reason=${*//&/&amp;}
  reason=${reason//</&lt;}
  cat >"$XML_OUTPUT_FILE" <<END
<testsuite><testcase name="$TEST_TARGET"><skipped message="${reason//\"/&quot;}"/>
</testcase></testsuite>
END
  exit 0
}

# need PROGRAM...
need() {
  local program
  for program; do
    type -P "$program" >/dev/null ||
      fail "$program is not installed; scripts/test installs it"
  done
}

# with_library COMMAND...: COMMAND may be a shell function; the programs that it
# starts run under the library then.
with_library() {
  LD_PRELOAD=$library AO_MALLOC_ENABLE_MMAP=$enable_mmap "$@"
}

# run NAME COMMAND...: leaves stdout, stderr, status and files in
# $TEST_TMPDIR/NAME.
run() {
  local name=$1 result=$TEST_TMPDIR/$1 start=${EPOCHREALTIME/.}
  shift
  rm -rf "$result" "$work"
  mkdir -p "$result" "$work"
  set +e
  (
    set -e
    cd "$work"
    "$@"
  ) >"$result/stdout" 2>"$result/stderr" </dev/null
  echo $? >"$result/status"
  set -e
  mv "$work" "$result/files"
  sed -E -i "$normalise" "$result/stdout" "$result/stderr"
  echo "$name: status $(<"$result/status")," \
    "$(stat -c %s "$result/stdout") bytes of output," \
    "$(stat -c %s "$result/stderr") bytes of errors," \
    "$(find "$result/files" -type f | wc -l) files," \
    "$(((${EPOCHREALTIME/.} - start) / 1000)) ms"
}

# compare NAME: NAME.without and NAME.with must be alike.
compare() {
  local result=$TEST_TMPDIR/$1
  if ! diff -r -u "$result.without" "$result.with" >"$result.diff"; then
    head -n 100 "$result.diff" >&2
    fail "$1 behaves differently under the library"
  fi
}

# run_both NAME COMMAND...
run_both() {
  local name=$1 result=$TEST_TMPDIR/$1.without
  shift
  run "$name.without" "$@"
  if [[ $(<"$result/status") != "$expected_status" ]]; then
    tail -n 50 "$result/stdout" "$result/stderr" >&2
    fail "$name, without the library: the status is not $expected_status"
  fi
  [[ -s $result/stdout ]] || fail "$name prints nothing that could be compared"
  run "$name.with" with_library "$@"
  compare "$name"
}

# assert_served COMMAND...: every process of COMMAND takes its malloc from the
# library, says the dynamic loader.
assert_served() {
  local log=$TEST_TMPDIR/bindings process
  rm -rf "$log" "$work"
  mkdir "$log" "$work"
  if ! (
    cd "$work"
    export LD_DEBUG=bindings LD_DEBUG_OUTPUT=$log/process
    with_library "$@"
  ) >"$log.output" 2>&1 </dev/null; then
    tail -n 50 "$log.output" >&2
    fail "does not run under the library: $*"
  fi
  local count=0
  for process in "$log"/*; do
    grep -qF "to $library [0]: normal symbol \`malloc'" "$process" ||
      fail "a process of '$*' does not take malloc from the library"
    count=$((count + 1))
  done
  echo "served by the library: the $count process(es) of: $*"
}

[[ -r $library ]] || fail "no library at $library"
