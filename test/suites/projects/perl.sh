# shellcheck shell=bash
# perl's core tests, built as its source says, with threads.
about="perl's core tests: base, comp, cmd, io, re, op, uni, mro, lib; all with --full"
needs=(gcc=gcc make=make)
from=perl

prepare() {
  sh Configure -des -Dusethreads -Dusedevel -Doptimize=-O1 -Dprefix=/nowhere \
    >/dev/null
  make -j "$jobs" >/dev/null
  make -j "$jobs" test_prep >/dev/null
}

tests() {
  cd t
  local folders=(base comp cmd io re op uni mro lib opbasic)
  case $size in
    short) folders=(base cmd mro) ;;
    full) folders=() ;;
  esac
  export TEST_JOBS=$jobs PERL_TEST_HARNESS_ASAP=1
  ./perl harness ${folders[@]+"${folders[@]/%//*.t}"}
}

outcomes() { harness_outcomes; }
