#!/bin/bash
# The fast paths cost what budget.golden says, no more and no less. That is of
# gcc 12's code; another compiler's may take two instructions more.
set -euo pipefail
budget=$1 library=$2 golden=$3
if ! readelf -p .comment "$library" | grep -q 'GCC: .* 12\.'; then
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
    > test/stepper/budget.golden
EOT
  exit 1
fi
