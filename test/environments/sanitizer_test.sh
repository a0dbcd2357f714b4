#!/bin/bash
# Programs built with a sanitizer that brings its own malloc. Where that is the
# program's, the library leaves it alone; where the library has taken its place,
# the program is refused in one line.
#
# gcc 12's ThreadSanitizer and AddressSanitizer stand no more than 28 bits of random
# address (vm.mmap_rnd_bits); some systems have 32. So there are none, if that can be.
if [[ ! ${NOT_RANDOM-} ]] && setarch -R true; then
  NOT_RANDOM=1 exec setarch -R "$0"
fi
source test/environments/common.sh

need gcc

# build NAME SOURCE OPTION...
build() {
  gcc -g -O1 -fno-builtin "$helpers/$2.c" -o "$TEST_TMPDIR/$1" "${@:3}" -lpthread
}

# refused PROGRAM ARG...
refused() {
  run "refused $1" with_library "$TEST_TMPDIR/$1" "${@:2}"
  local said
  said=$(<"$TEST_TMPDIR/refused $1/stderr")
  [[ $(<"$TEST_TMPDIR/refused $1/status") == 1 && $said != *$'\n'* &&
    $said == "aomalloc: the program's sanitizer needs its own malloc: "* &&
    ! -s $TEST_TMPDIR/refused\ $1/stdout ]] || fail "$1 is not refused: $said"
}

# finds WHAT PRELOADED PROGRAM ARG...: with these libraries before ours.
finds() {
  local what=$1 before=$2 name="$3 after ${2##*/}"
  shift 2
  library=$before${before:+:}$library run "$name" with_library "$TEST_TMPDIR/$1" "${@:2}"
  grep -q "$what" "$TEST_TMPDIR/$name/stderr" ||
    fail "$name does not find '$what': $(<"$TEST_TMPDIR/$name/stderr")"
}

runtime() { gcc -print-file-name="lib$1.so"; }

build address bugs -fsanitize=address
refused address after-free
finds heap-use-after-free "$(runtime asan)" address after-free

build address-static bugs -fsanitize=address -static-libasan
finds heap-buffer-overflow '' address-static overflow

build leak bugs -fsanitize=leak
refused leak leak
finds '10 byte(s) leaked' "$(runtime lsan)" leak leak

build thread exercise -fsanitize=thread
refused thread 4
library=$(runtime tsan):$library run threads with_library "$TEST_TMPDIR/thread" 4
[[ $(<"$TEST_TMPDIR/threads/status") == 0 ]] || fail "ThreadSanitizer finds something"

# This one has no malloc.
build undefined exercise -fsanitize=undefined
run_both undefined "$TEST_TMPDIR/undefined" 4
