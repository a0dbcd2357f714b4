#!/bin/bash
# The corpus, and what 20 seconds find beyond it.  Needs clang, which
# scripts/test installs.
set -euo pipefail
root=$PWD
cd "$TEST_TMPDIR"  # where an input that fails is left

status=0
"$root/scripts/fuzz" --no-such-option 2>errors || status=$?
if [[ $status != 2 ]] || ! grep -q 'usage:' errors; then
  echo "FAILED: unknown option: status $status" >&2
  exit 1
fi

"$root/scripts/fuzz" 20 >log 2>&1 || status=1
if [[ $status != 2 ]]; then
  cat log
  for input in crash-*; do
    [[ -f $input ]] || continue
    echo "FAILED: scripts/fuzz FILE runs it again, FILE being, in base64:"
    base64 "$input"
  done
  exit 1
fi
grep -E 'DONE|^stat::' log
