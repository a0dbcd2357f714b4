#!/bin/bash
# The options that the library reads, those in README's table and those in the
# manual page are the same; and the walk through core/ names what there is.
set -euo pipefail
environment=$PWD/preload/environment.cc
root=$(dirname "$(dirname "$(readlink -f "$environment")")")
cd "$TEST_TMPDIR"
failures=0

grep -oE '^ *\{"AO_MALLOC_[A-Z_]+"' "$environment" | grep -oE 'AO_[A-Z_]+' | sort >source
sed -n '/^## The variables/,/^## What/p' "$root/README.md" |
  grep -oE '^\| `AO_MALLOC_[A-Z_]+`' | grep -oE 'AO_[A-Z_]+' | sort >readme
sed -n '/^\.SH ENVIRONMENT/,/^\.SH SIGNALS/p' "$root/scripts/installed/aomalloc.1" |
  grep -oE '^\.B AO_MALLOC_[A-Z_]+' | grep -oE 'AO_[A-Z_]+' | sort >manual
[[ $(wc -l <source) -ge 6 ]] || { echo 'FAILED: few options in the source'; exit 1; }
for place in readme manual; do
  diff -u source $place || { echo "FAILED: other options in the $place"; failures=1; }
done

# Every function, type and file that core/README.md names.
# shellcheck disable=SC2016
grep -oE '`[A-Za-z_:]+`' "$root/core/README.md" | tr -d '`' | sed 's/.*:://' | sort -u |
  while read -r name; do
    grep -rqwE "$name" "$root/core" "$root/preload" "$root/test" "$root/scripts" \
      --include='*.h' --include='*.cc' --include='*.sh' --include=BUILD --include='*.golden' ||
      { echo "FAILED: core/README.md names $name, which there is not"; exit 1; }
  done || failures=1
grep -oE '\]\([^)#]+\)' "$root/core/README.md" | tr -d '])(' | while read -r file; do
  [[ -e $root/core/$file ]] || { echo "FAILED: core/README.md leads to $file"; exit 1; }
done || failures=1
exit $failures
