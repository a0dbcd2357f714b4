#!/bin/bash
# Under valgrind, the library preloaded: valgrind puts its own malloc in place of
# any that a program is loaded with, and finds what it finds without it. If told
# not to, it watches ours at work, and finds nothing wrong.
source test/environments/common.sh

need valgrind

# check NAME OPTION... PROGRAM ARG...: leaves what it says in `said`.
check() {
  run "$1" with_library valgrind --error-exitcode=9 --leak-check=full "${@:2}"
  said=$(<"$TEST_TMPDIR/$1/stderr") status=$(<"$TEST_TMPDIR/$1/status")
}

# finds WHAT NAME OPTION... PROGRAM ARG...
finds() {
  check "${@:2}"
  [[ $status == 9 && $said == *"$1"* ]] || fail "$2: valgrind finds no '$1': $said"
}

for soname in '' --soname-synonyms=somalloc=libaomalloc.so; do
  check "right $soname" ${soname:+"$soname"} "$helpers/exercise" 4
  [[ $status == 0 && $said == *'no leaks are possible'* &&
    $said != *' 0 allocs'* ]] || fail "valgrind finds: $said"
  finds 'Invalid write' "overflow $soname" ${soname:+"$soname"} "$helpers/bugs" overflow
  finds 'definitely lost: 10 bytes' "leak $soname" ${soname:+"$soname"} "$helpers/bugs" leak
done

check ours --soname-synonyms=somalloc=nouserintercepts "$helpers/exercise" 4
[[ $status == 0 && $said == *' 0 allocs'* ]] || fail "valgrind finds: $said"
