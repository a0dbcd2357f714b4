# shellcheck shell=bash
# tests/run-* of bash's source, against the installed bash.  Some want locales that
# are seldom installed, or a bash that is not Debian's, and fail in both runs.
about="bash's tests/run-*, with the installed bash"
needs=(gcc=gcc bash=bash)
from=bash

prepare() {
  # Four programs that print their arguments, environment, or a changed case.
  local program
  for program in recho zecho printenv xcase; do
    gcc -w -DHAVE_UNISTD_H -DHAVE_STRING_H -DHAVE_STDLIB_H -I include -I . \
      -o "tests/$program" "support/$program.c"
  done
}

tests() {
  cp config.h.in config.h # Some test reads them, whatever they say.
  cp config.h version.h
  cd tests
  export PATH=.:$PATH BUILD_DIR=$PWD/.. THIS_SH=/bin/bash
  export BASH_TSTOUT=$TMPDIR/out
  local test
  for test in run-*; do
    case $test in run-all | run-minimal | run-gprof) continue ;; esac
    echo "== $test"
    # Whatever a test prints is a complaint.
    sh "$test" >"$TMPDIR/complaint" 2>&1 || :
    cat "$TMPDIR/complaint"
    if grep -qE '^[<>]' "$TMPDIR/complaint"; then
      echo "failed ${test#run-}"
    else
      echo "passed ${test#run-}"
    fi
  done
}

outcomes() {
  grep -aE '^(passed|failed) [a-z0-9-]+$'
}
