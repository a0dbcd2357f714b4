#!/bin/bash
# sort: 200 MB with two threads and 100 MB of memory, so that it writes and
# merges temporary files.
source test/programs/common.sh
need sort perl

trap 'rm -f "$TEST_TMPDIR/input"' EXIT
perl >"$TEST_TMPDIR/input" <<'END'
my ($state, $tail) = (1, '0123456789abcdef' x 5);
for (1 .. 2_000_000) {
  $state = ($state * 1103515245 + 12345) & 0x7fffffff;
  printf "%010d %08d %s\n", $state, $_, substr $tail, 0, 79;
}
END
echo "to be sorted: $(stat -c %s "$TEST_TMPDIR/input") bytes"

session() {
  LC_ALL=C sort --parallel=2 -S 100M "$TEST_TMPDIR/input" | sha256sum
  find "$TMPDIR" -type f | wc -l
}

assert_served sort "$helpers/common.sh"
run_both sort session
