# shellcheck shell=bash
# git's t/*.sh, built as its source says.
about="git's t/*.sh: t0*, t1* but its longest, t40* and t41*; all with --full"
needs=(gcc=gcc make=make perl=perl /usr/include/zlib.h=zlib1g-dev)
from=git
limit=2400

build=(NO_OPENSSL=1 NO_CURL=1 NO_EXPAT=1 NO_TCLTK=1 NO_GETTEXT=1 NO_PYTHON=1
  CFLAGS='-O1 -w')

prepare() {
  make -s -j "$jobs" "${build[@]}" all
  make -s -j "$jobs" "${build[@]}" t/helper/test-tool
}

# TEST_NO_MALLOC_CHECK: git would put the C library's own debugging malloc in
# front of the library.
tests() {
  cd t
  export TEST_NO_MALLOC_CHECK=1
  local scripts=(t0*.sh t10[0-8]*.sh t1[1-9]*.sh t4[01]*.sh) # Without t1092.
  case $size in
    short) scripts=(t0000*.sh t3900*.sh) ;;
    full) scripts=(t[0-9]*.sh) ;;
  esac
  mkdir out
  printf '%s\n' "${scripts[@]}" | xargs -P "$jobs" -I {} \
    sh -c './{} >out/{} 2>&1; echo "status $?" >>out/{}; echo {}'
}

outcomes() {
  cat >/dev/null
  cd tree/t/out
  gawk '/^(ok|not ok) / {
      outcome = /^not ok/ ? "failed" : /# skip/ ? "skipped" : "passed"
      if (/# TODO/) outcome = "passed"
      sub(/^(not )?ok /, ""); sub(/ # .*/, "")
      print outcome, substr(FILENAME, 1, 5) "." $0
    }
    /^status [^0]/ { print "failed", FILENAME }' t*.sh
}
