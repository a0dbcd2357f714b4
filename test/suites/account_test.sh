#!/bin/bash
# Of a suite that ends, scripts/suites keeps a row for each run, and the names of the
# tests that differ; of one that is stopped at its time limit, nothing.
set -euo pipefail
export PATH=/usr/bin:/bin LC_ALL=C
unset LD_PRELOAD AO_MALLOC_ENABLE_MMAP
failures=0

fail() {
  echo "FAILED: $*" >&2
  failures=$((failures + 1))
}

# A repository in small, where nobody else may go.  Called by root, it is nobody who
# runs the suites.
umask 077
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
chmod 711 "$place"
root=$place/root
mkdir -p "$root"/{core,bazel-bin/core,test/suites/projects,out}
touch "$root/core/atomic_ops_malloc.h" "$root/bazel-bin/core/libaomalloc.a"
cp -L test/suites/{*.py,suite.sh} "$root/test/suites"

cat >"$root/test/suites/projects/ends.sh" <<'EOF'
about='ends' needs=(bash=bash)
explained='known: is known'
tests() {
  echo passed always
  [[ ! ${LD_PRELOAD-} ]] && echo passed known || echo failed known
}
outcomes() { cat; }
EOF
cat >"$root/test/suites/projects/hangs.sh" <<'EOF'
about='hangs under the library' needs=(bash=bash) limit=2
tests() {
  seq -f 'passed number-%g' 100
  [[ ! ${LD_PRELOAD-} ]] || sleep 600
  seq -f 'passed number-%g' 101 200
}
outcomes() { cat; }
EOF

# suites NAME...: leaves what it says in said.
suites() {
  /usr/bin/python3 -E -s -B "$root/test/suites/suites.py" --work "$place/work" \
    --library "$PWD/preload/libaomalloc.so" --out "$root/out" "$@" >"$root/said"
}

suites ends || fail "a difference that is explained counts: $(<"$root/said")"
! suites hangs || fail "a suite that was stopped counts as good: $(<"$root/said")"
grep -q '^hangs: stopped at its time limit of 2 s' "$root/said" ||
  fail "nothing says that the suite was stopped: $(<"$root/said")"
[[ $(cut -d, -f1,3-6 "$root/out/results.csv" | tail -n +2) == \
  'ends,usual,without,2,0
ends,usual,with,1,1' ]] || fail "results.csv: $(<"$root/out/results.csv")"
[[ $(tail -n +2 "$root/out/names.csv") == 'ends,known,passed,failed,is known' ]] ||
  fail "names.csv: $(<"$root/out/names.csv")"
! grep hangs "$root/out/README.md" || fail 'README.md: see the line above'

((!failures))
