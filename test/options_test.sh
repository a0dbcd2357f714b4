#!/bin/bash
# The options that the library reads, those in README's table and those in the
# manual page are the same; so is the version.
set -euo pipefail
environment=$PWD/preload/environment.cc
root=$(dirname "$(dirname "$(readlink -f "$environment")")")
cd "$TEST_TMPDIR"
failures=0

grep -oE '^ *\{"AO_MALLOC_[A-Z_]+"' "$environment" | grep -oE 'AO_[A-Z_]+' | sort >source
# The part below that heading, up to the next.
# shellcheck disable=SC2016 # The backticks are Markdown's.
awk '/^## / { here = /^## The variables/ } here' "$root/README.md" |
  grep -oE '^\| `AO_MALLOC_[A-Z_]+`' | grep -oE 'AO_[A-Z_]+' | sort >readme
sed -n '/^\.SH ENVIRONMENT/,/^\.SH SIGNALS/p' "$root/scripts/installed/aomalloc.1" |
  grep -oE '^\.B AO_MALLOC_[A-Z_]+' | grep -oE 'AO_[A-Z_]+' | sort >manual
[[ $(wc -l <source) -ge 6 ]] || { echo 'FAILED: few options in the source'; exit 1; }
for place in readme manual; do
  diff -u source $place || { echo "FAILED: other options in the $place"; failures=1; }
done

# The version that the scripts know is the header's.
IFS=. read -r major minor patch < <(sed -n 's/^VERSION=//p' "$root/scripts/lib.sh")
expected=$((major * 10000 + minor * 100 + patch))
grep -qx "#define AO_MALLOC_VERSION $expected" "$root/core/atomic_ops_malloc.h" ||
  { echo "FAILED: AO_MALLOC_VERSION is not $expected"; failures=1; }
exit $failures
