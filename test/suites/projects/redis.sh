# shellcheck shell=bash
# redis' Tcl suite, with the installed programs.  Debian's redis uses jemalloc; the
# library takes its place.
about="redis' Tcl suite with the installed programs, which use jemalloc otherwise"
needs=(redis-server=redis-server redis-cli=redis-tools tclsh=tcl)
from=redis

explained="
trim on SET with big value: bounds a block of 33,000 bytes by jemalloc's size class; here it has 64 KiB, its unused pages not resident
Active defrag*: asks jemalloc by mallctl how fragmented its heap is, in which none of the blocks are
"

prepare() {
  local program
  for program in /usr/bin/redis-*; do
    ln -s "$program" src/
  done
}

tests() {
  local options=(--clients "$((jobs * 2))" --tags -large-memory) unit
  case $size in
    short) options+=(--single unit/type/hash --single unit/type/string) ;;
    usual)
      options+=(--tags -slow)
      for unit in tests/unit/*.tcl tests/unit/type/*.tcl; do
        unit=${unit#tests/}
        options+=(--single "${unit%.tcl}")
      done
      ;;
  esac
  ./runtest "${options[@]}"
}

outcomes() {
  sed -E 's/\x1b\[[0-9;]*m//g; s/^(\[(err|exception|timeout)\]: .*) in tests\/.*/\1/' |
    sed -nE 's/^\[(ok|err|skip|ignore|exception|timeout)\]: (.*)/\1 \2/p' |
    sed -E 's/ \([0-9]+ ms\)$//; s/^ok /passed /; s/^(err|exception|timeout) /failed /
      s/^(skip|ignore) /skipped /'
}
