#!/bin/bash
# Programs linked in other ways: without address randomisation, statically, or
# both ways at once. A static one keeps its own malloc.
source test/environments/common.sh

need gcc

# link NAME OPTION...
link() {
  gcc -O1 -Wall -Wextra -fno-builtin "$helpers/exercise.c" -o "$TEST_TMPDIR/$1" \
    "${@:2}" -lpthread
}
link no-pie -fno-pie -no-pie
link static -static
link static-pie -fPIE -static-pie
link lazy -Wl,-z,lazy -Wl,-z,norelro
link bind-now -Wl,-z,now

for format in no-pie lazy bind-now; do
  assert_served "$TEST_TMPDIR/$format"
done
for format in no-pie lazy bind-now static static-pie; do
  run_both "$format" "$TEST_TMPDIR/$format"
done
