#!/bin/bash
# Checks all models.  Needs SPIN, which scripts/test installs.
set -euo pipefail

for program in gcc spin; do
  type -P "$program" >/dev/null ||
    { echo "FAILED: $program is not installed" >&2; exit 1; }
done

"$PWD/scripts/models" --help | grep -q '^usage: scripts/models ' ||
  { echo 'FAILED: --help' >&2; exit 1; }
status=0
"$PWD/scripts/models" --no-such-option 2>"$TEST_TMPDIR/errors" || status=$?
if [[ $status != 2 ]] || ! grep -q 'usage:' "$TEST_TMPDIR/errors"; then
  echo "FAILED: unknown option: status $status" >&2
  exit 1
fi

"$PWD/scripts/models" --short
