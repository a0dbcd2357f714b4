#!/bin/bash
# The fast paths cost what budget.golden says, no more and no less.
set -euo pipefail
budget=$1 library=$2 golden=$3
if ! diff -u "$golden" <("$budget" --library "$library"); then
  cat <<'EOT'
What malloc(64) and its free cost, here or in another thread, has changed:
in lines with +, what it is now.
If that is meant, say so in the file:
  bazel build -c opt //preload:libaomalloc.so //test/stepper:budget
  bazel-bin/test/stepper/budget --library bazel-bin/preload/libaomalloc.so \
    > test/stepper/budget.golden
EOT
  exit 1
fi
