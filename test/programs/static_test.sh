#!/bin/bash
# static_test.sh PROGRAM: an everyday program on the static heap of 2 MiB, which
# does not grow.
source test/programs/common.sh
enable_mmap=0

# 3,000 files in 150 directories.
make_tree() {
  local d f directory
  for d in {001..150}; do
    directory=$TEST_TMPDIR/tree/sub${d:0:2}/directory-$d
    mkdir -p "$directory"
    for f in {01..20}; do
      printf 'file %s in %s\nneedle-%s\n' "$f" "$d" $((10#$d * 10#$f)) \
        >"$directory/file-with-a-name-$f"
    done
  done
}

# 300,000 lines, 13 MB.
make_lines() {
  seq -f 'line %08.0f of a file with many lines' 300000 >"$TEST_TMPDIR/lines"
}

test_true() {
  local true
  true=$(type -P true) # Not the shell's own.
  assert_served "$true"
  run true.without "$true"
  run true.with with_library "$true"
  compare true
  [[ $(<"$TEST_TMPDIR/true.with/status") == 0 ]] || fail 'true is not true'
}

test_ls() {
  make_tree
  assert_served ls "$TEST_TMPDIR"
  run_both ls ls -lR "$TEST_TMPDIR/tree"
}

test_cat() {
  make_lines
  assert_served cat "$helpers/common.sh"
  run_both cat cat -n "$TEST_TMPDIR/lines"
}

test_grep() {
  need grep
  make_tree
  assert_served grep -r needle "$TEST_TMPDIR/tree/sub01"
  run_both grep \
    grep -rE '(needle-(1|2)[0-9]*0|in 0?77)$' "$TEST_TMPDIR/tree"
  run_both backreference grep -rnE 'file (.)\1 in \1' "$TEST_TMPDIR/tree"
}

test_sed() {
  need sed
  make_lines
  assert_served sed -n p "$helpers/common.sh"
  run_both sed \
    sed -E 's/line 0*([0-9]+)([0-9]) of (.*)/\3 \2\1/; /7$/d; $!N; P; D' \
    "$TEST_TMPDIR/lines"
}

test_awk() {
  need awk
  make_lines
  assert_served awk 'BEGIN { print 1 }'
  # shellcheck disable=SC2016
  run_both awk awk '
    { sum += $2; total[NF] += length($0); last[$2 % 1000] = $2 }
    END {
      print NR, sum
      for (n in total) print n, total[n]
      for (i = 0; i < 1000; i++) print last[i]
    }' "$TEST_TMPDIR/lines"
}

test_bash() {
  assert_served bash -c :
  # shellcheck disable=SC2016
  run_both bash bash -c '
    for ((i = 0; i < 20000; i++)); do
      a[i % 500]="text $i"
      s=${a[i % 7]#text }
      echo "$s"
    done
    echo $(echo "${a[@]}" | wc -c)'
}

test_git() {
  need git
  export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_OPTIONAL_LOCKS=0
  local repository=$TEST_TMPDIR/repository
  git init -q -b main "$repository"
  seq 1000 | split -l 10 - "$repository/file-"
  git -C "$repository" add .
  git -C "$repository" -c user.name=A -c user.email=a@example.org \
    commit -q -m first
  echo changed >>"$repository/file-aa"
  echo new >"$repository/new"
  rm "$repository/file-bb"
  assert_served git -C "$repository" status
  run_both git git -C "$repository" status
}

test_sqlite() {
  need sqlite3
  assert_served sqlite3 :memory: 'SELECT 1'
  run_both sqlite sqlite3 base.sqlite "
    CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
    WITH RECURSIVE n(i) AS
      (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
      INSERT INTO t SELECT i, 'name ' || (i * 7919 % 2003) FROM n;
    CREATE INDEX t_name ON t(name);
    SELECT count(*), min(name), max(name) FROM t;
    SELECT * FROM t WHERE name LIKE '%99' ORDER BY name DESC;
    PRAGMA integrity_check;"
}

"test_$1"
