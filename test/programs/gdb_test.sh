#!/bin/bash
# gdb in batch mode, with the debugged program under the library too: break,
# backtrace, print, a call of malloc in the program, up to its end. Calls are
# asserted where gdb can make them without the library: Debian's cannot on
# processors with AMX, whose registers it cannot write.
source test/programs/common.sh
need gdb gcc
unset DEBUGINFOD_URLS

cat >"$TEST_TMPDIR/target.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
struct node {
  int value;
  struct node *next;
};
static int sum(struct node *list) {
  return list ? list->value + sum(list->next) : 0;
}
int main(void) {
  struct node *list = NULL;
  for (int i = 0; i < 5; i++) {
    struct node *n = malloc(sizeof *n);
    n->value = i * i;
    n->next = list;
    list = n;
  }
  printf("the sum is %d\n", sum(list));
  return 11;
}
END
gcc -g -O0 -o "$TEST_TMPDIR/target" "$TEST_TMPDIR/target.c"

# shellcheck disable=SC2016
session() {
  gdb -nx -batch -ex 'set print address off' -ex 'set confirm off' \
    -ex 'break sum if list == 0' -ex run -ex bt -ex 'frame 5' \
    -ex 'print *list' -ex 'print *list->next->next' -ex 'ptype list' \
    -ex delete -ex 'print sum(list)' \
    -ex 'print ((void *(*)(unsigned long))malloc)(1000) != 0' \
    -ex finish -ex continue -ex 'print $_exitcode' "$TEST_TMPDIR/target"
}

assert_served gdb -nx -batch -ex run "$TEST_TMPDIR/target"
normalise='s/process [0-9]+/process N/'
run_both gdb session
# shellcheck disable=SC2016
{
  lines=('^\$1 = {value = 16, ' '^the sum is 30$' '^\$[46] = 11$')
  calls=('^\$3 = 30$' '^\$4 = 1$') # A call that fails has no number.
}
if grep -q "${calls[0]}" "$TEST_TMPDIR/gdb.without/stdout"; then
  lines+=("${calls[@]}")
else
  echo "gdb calls nothing here, library or not: $(<"$TEST_TMPDIR/gdb.without/stderr")"
fi
for line in "${lines[@]}"; do
  grep -q "$line" "$TEST_TMPDIR/gdb.with/stdout" || fail "gdb printed no $line"
done

# A core dump holds what is in use, not what is reserved.  (-f: in KiB.)
(
  ulimit -f 400000
  gdb -nx -batch -ex "set environment LD_PRELOAD $library" \
    -ex 'set environment AO_MALLOC_ENABLE_MMAP 1' -ex 'break sum' -ex run \
    -ex "generate-core-file $TEST_TMPDIR/dump" "$TEST_TMPDIR/target"
) >"$TEST_TMPDIR/dump.log" 2>&1 || fail "$(<"$TEST_TMPDIR/dump.log")"
kilobytes=$(($(stat -c %s "$TEST_TMPDIR/dump") >> 10))
rm "$TEST_TMPDIR/dump"
((kilobytes > 1000 && kilobytes < 100000)) || fail "$kilobytes KiB of core dump"
