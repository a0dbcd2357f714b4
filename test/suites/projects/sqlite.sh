# shellcheck shell=bash
# SQLite's Tcl tests: some of its quick set, all of that with --full.
about="SQLite's Tcl tests, the quick set"
needs=(gcc=gcc make=make /usr/include/tcl/tcl.h=tcl-dev)
from=sqlite3

prepare() {
  # recover.test wants that virtual table.
  ./configure --quiet --with-tcl=/usr/lib/tcl8.6 \
    CFLAGS='-O1 -w -DSQLITE_ENABLE_DBPAGE_VTAB'
  make -s -j "$jobs" testfixture sqlite3
}

tests() {
  case $size in
    short) ./testfixture test/select1.test ;;
    *) ./testfixture test/veryquick.test ;;
  esac
}

outcomes() {
  sed -nE 's/^([^ ]+)\.\.\. Ok$/passed \1/p; s/^! ([^ ]+) expected: .*/failed \1/p
    s/^([^ ]+)\.\.\. Omitted$/skipped \1/p'
}
