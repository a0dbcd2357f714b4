#!/bin/bash
# The documents name what there is: files, folders, test targets, scripts and,
# in core/, functions and types. README.md is short and its tables are whole.
set -euo pipefail
environment=$PWD/preload/environment.cc
root=$(dirname "$(dirname "$(readlink -f "$environment")")")
cd "$root"
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

mapfile -t documents < <(find . -name '*.md' -not -path './.git/*' -printf '%P\n' | sort)
((${#documents[@]} >= 10)) || fail "only ${#documents[@]} documents"

# anchors FILE: of its headings, as they are linked to.
anchors() {
  sed -n 's/^##* //p' "$1" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-'
}

for document in "${documents[@]}"; do
  folder=$(dirname "$document")
  # Links to files, and to headings.
  while read -r link; do
    [[ $link != *://* ]] || continue
    file=$document
    [[ ! ${link%%#*} ]] || file=$folder/${link%%#*}
    [[ -e $file ]] || fail "$document leads to $link"
    [[ $link != *'#'* || ! -f $file ]] || anchors "$file" | grep -qxF -- "${link#*#}" ||
      fail "$document leads to $link, a heading that there is not"
  done < <(grep -oE '\]\([^)]+\)' "$document" | tr -d '])(')

  # Targets: of a package with a BUILD file, and the folder's tests are called so.
  while read -r package; do
    [[ -e ${package#//}/BUILD ]] || fail "$document names $package, which has no BUILD"
  done < <(grep -oE '//(test|core|preload)[a-z_/]*' "$document" | sed 's,/*$,,' | sort -u)
  while read -r script; do
    [[ -e $script ]] || fail "$document names $script, which there is not"
  done < <(grep -oE '\bscripts/[a-z.]+' "$document" | sed 's/\.$//' | sort -u)

  # A row of a table without another above or below it is a table that is broken.
  awk -v name="$document" '
    /^\|/ { if (!rows++) first = $0; if (rows == 2) dashes = /^\|[ :|-]+\|$/; next }
    rows { if (rows < 3 || !dashes) { print name ": " first; bad = 1 } rows = 0 }
    END { if (rows && (rows < 3 || !dashes)) { print name ": " first; bad = 1 } exit bad }
  ' "$document" || fail "$document has a broken table"
done

# Every function, type and file that core/README.md names.
# shellcheck disable=SC2016
while read -r name; do
  [[ ! $(find core -name "$name.*") ]] || continue
  grep -rqwE "$name" core preload test scripts \
    --include='*.h' --include='*.cc' --include='*.sh' --include=BUILD --include='*.golden' ||
    fail "core/README.md names $name, which there is not"
done < <(grep -oE '`[A-Za-z_:]+`' core/README.md | tr -d '`' | sed 's/.*:://' | sort -u)

# Every unit test is in the index.
for test in test/*_test.{cc,sh}; do
  name=${test##*/}
  # shellcheck disable=SC2016
  grep -qF '`'"${name%.*}" test/README.md || fail "test/README.md has no ${name%.*}"
done

(($(wc -l <README.md) <= 150)) || fail 'README.md is longer than 150 lines'
! awk 'length > 120 && !/^\|/' README.md | grep . || fail 'README.md has longer lines than 120'

exit $((failures != 0))
