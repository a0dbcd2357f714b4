#!/bin/bash
# The rows of the table for our own two libraries: the plain one names each of
# these defects, and no defect at all passes by the hardened one.
set -euo pipefail
table=$(/usr/bin/python3 -I test/defects/table.py test/defects/defects \
  plain="$PWD/preload/libaomalloc.so" hardened="$PWD/preload/libaomalloc-hardened.so")
printf '%s\n' "$table"
rows=$(grep -cE '^\| (double free|free|realloc|malloc_usable_size|sized delete|write)' <<<"$table")
((rows >= 30))
named=$(grep -cE '^\| (double free|free|realloc|malloc_usable_size|sized delete)[^|]*\| message \| message \|$' \
  <<<"$table")
((named == 23)) || { echo "FAILED: $named of 23 are named"; exit 1; }
for what in 'second word' 'of null' 'of a pointer'; do
  grep -qE "^\| write ${what}[^|]*\| message|^\| write to a freed block, $what \| message" <<<"$table" ||
    { echo "FAILED: write $what"; exit 1; }
done
if grep -E '\| (silent|damage) \|$' <<<"$table"; then
  echo "FAILED: that passes by the hardened library"
  exit 1
fi
