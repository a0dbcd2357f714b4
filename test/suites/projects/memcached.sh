# shellcheck shell=bash
# memcached's t/*.t, built as its source says, with a debugging server.
about="memcached's make test, all but TLS"
needs=(gcc=gcc make=make prove=perl /usr/include/event.h=libevent-dev
  aclocal=automake autoconf=autoconf)
from=memcached

prepare() {
  [[ -x configure ]] || autoreconf --install
  ./configure --quiet CFLAGS='-O1 -w'
  make -s -j "$jobs" memcached memcached-debug sizes testapp timedrun
}

tests() {
  local all=(t/*.t)
  [[ $size != short ]] || all=(t/{basic,binary,cas,chunked-items,evictions,stats}.t)
  ./testapp | sed 's/^/testapp: /' || :
  prove --jobs "$jobs" "${all[@]}"
}

outcomes() {
  local log
  log=$(cat)
  sed -nE 's/^testapp: ok [0-9]+ - /passed testapp /p
    s/^testapp: not ok [0-9]+ - /failed testapp /p' <<<"$log"
  harness_outcomes <<<"$log"
}
