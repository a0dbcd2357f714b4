# shellcheck shell=bash
# PostgreSQL's regression tests, with the installed server and a database of their
# own that goes with them.
about="PostgreSQL's regression tests against the installed server"
needs=(gcc=gcc /usr/lib/postgresql/15/bin/postgres=postgresql-15
  /usr/lib/postgresql/15/bin/pg_config=postgresql-server-dev-15)
from=postgresql-15

installed=/usr/lib/postgresql/15

prepare() {
  cd src/test/regress
  # What SQL calls of it is written in C.
  gcc -O1 -w -shared -fPIC -I "$("$installed/bin/pg_config" --includedir-server)" \
    -o regress.so regress.c
  gcc -O1 -w -shared -fPIC -I "$("$installed/bin/pg_config" --includedir-server)" \
    -I ../../../contrib/spi -o refint.so ../../../contrib/spi/refint.c
  gcc -O1 -w -shared -fPIC -I "$("$installed/bin/pg_config" --includedir-server)" \
    -I ../../../contrib/spi -o autoinc.so ../../../contrib/spi/autoinc.c
}

tests() {
  cd src/test/regress
  local schedule=parallel_schedule
  if [[ $size == short ]]; then
    schedule=short_schedule
    grep -m 3 '^test:' parallel_schedule >"$schedule"
  fi
  export PG_REGRESS_SOCK_DIR=$TMPDIR
  "$installed/lib/pgxs/src/test/regress/pg_regress" --bindir="$installed/bin" \
    --temp-instance="$TMPDIR/instance" --inputdir=. --dlpath=. --no-locale \
    --max-concurrent-tests=20 --schedule="$schedule" || :
}

outcomes() {
  sed -nE 's/^(test)? +([a-z0-9_]+) +\.\.\. (ok|FAILED|failed).*/\3 \2/p' |
    sed -E 's/^ok /passed /; s/^(FAILED|failed) /failed /'
}
