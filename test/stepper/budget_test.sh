#!/bin/bash
# The fast paths cost what budget.golden says, no more and no less; and in gcc 14's
# code what budget_gcc14.golden says. Code of another compiler may take two
# instructions more than that of gcc 12.
set -euo pipefail
budget=$1 library=$2 golden=$3
is_of_gcc() { readelf -p .comment "$library" | grep "GCC: .* $1\\." >/dev/null; }
if is_of_gcc 14; then
  golden=${golden%.golden}_gcc14.golden
elif ! is_of_gcc 12; then
  "$budget" --library "$library" | awk '
    NR == FNR { golden[$1, $2] = $0; next }
    { split(golden[$1, $2], most) }
    FNR == 1 { next }
    !most[3] || $3 > most[3] + 2 || $4 > most[4] || $5 > most[5] || $6 > most[6] || $7 > most[7] {
      print "FAILED: " $0 ", not " golden[$1, $2]
      failed = 1
    }
    END { exit failed || FNR != length(golden) }' "$golden" -
  exit
fi
if ! diff -u "$golden" <("$budget" --library "$library"); then
  cat <<'EOT'
What malloc and free of 64 bytes cost, here or in another thread, or of 40,000, has changed:
in lines with +, what it is now.
If that is meant, say so in the file:
  bazel build -c opt //preload:libaomalloc.so //test/stepper:budget
  bazel-bin/test/stepper/budget --library bazel-bin/preload/libaomalloc.so \
    > test/stepper/budget.golden (with gcc 14: budget_gcc14.golden)
EOT
  exit 1
fi
