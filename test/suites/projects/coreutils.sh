# shellcheck shell=bash
# "make check" of coreutils, built as its source says.
about="coreutils' make check"
needs=(gcc=gcc make=make perl=perl)
from=coreutils

prepare() {
  # As if there were no newer sources: nothing is generated again.
  find . -exec touch -d 2020-01-01 {} +
  ./configure --quiet --disable-nls CFLAGS='-O1 -w'
  make -s -j "$jobs"
  make -s check SUBDIRS=. TESTS= VERBOSE=no >/dev/null
}

tests() {
  local options=()
  case $size in
    short) options=('TESTS=tests/misc/sort.pl tests/misc/wc.pl tests/ls/dired.sh') ;;
    full) options=(RUN_EXPENSIVE_TESTS=yes RUN_VERY_EXPENSIVE_TESTS=yes) ;;
  esac
  make -k -j "$jobs" check SUBDIRS=. ${options[@]+"${options[@]}"} || :
}

outcomes() { automake_outcomes; }
