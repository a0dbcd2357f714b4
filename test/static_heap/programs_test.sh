#!/bin/bash
# Real programs on the static heap: no system call for memory once they are
# loaded; and of a heap that is filled with blocks of the sizes that they ask
# for, in their order, four fifths are in the hands of the program.
set -euo pipefail
library=$PWD/preload/libaomalloc.so
fill=$PWD/test/static_heap/fill
record=$PWD/test/static_heap/record.so
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_OPTIONAL_LOCKS=0
export HOME=$TEST_TMPDIR LC_ALL=C.UTF-8
cd "$TEST_TMPDIR"

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

mkdir -p tree/{a..z}
for d in tree/*; do seq 30 | split -l 1 - "$d/some-file-"; done
git init -q -b main tree
git -C tree add .
git -C tree -c user.name=A -c user.email=a@example.org commit -q -m first
rm tree/a/*
seq 5000 >numbers

# The quotes are those of the languages.
# shellcheck disable=SC2016,SC2089
{
  awk='{ n[$1 % 500] = n[$1 % 500] $0; s[length($0)]++ }
       END { for (i in n) print i, n[i] }'
  bash='declare -A m
        for ((i = 0; i < 500; i++)); do a[i % 90]="text $i"; m[k$i]=${a[i % 7]#t}; done
        f() { local x=$1; ((x < 1)) || f $((x - 1)); }; f 50; echo ${#m[@]}'
  sql='CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
       WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO t SELECT i, '"'name '"' || (i * 7919 % 2003) FROM n;
       CREATE INDEX t_name ON t(name);
       SELECT count(*), min(name) FROM t WHERE name LIKE '"'%9'"';'
}

# program NAME: runs it, in this shell's place.
program() {
  case $1 in
    ls) exec ls -lR tree ;;
    git) exec git -C tree status ;;
    awk) exec gawk "$awk" numbers ;;
    bash) exec bash -c "$bash" ;;
    sqlite3) exec sqlite3 :memory: "$sql" ;;
  esac
}
export -f program
# shellcheck disable=SC2090
export awk bash sql

# Calls for memory behind the last one of the dynamic loader, which unmaps its
# cache: those that cannot be but malloc's, and mappings of no file. Not brk(NULL),
# which asks for none: the library looks once where glibc's heap would begin. That
# is as it is loaded, and next it maps the static heap, and heaps for threads.
calls_for_memory() {
  awk '/munmap/ && !loaded { loaded = 1; next }
       /brk\(NULL\)/ && loaded == 1 { loaded = 2; next }
       /mmap\(NULL/ && (loaded == 2 || loaded == 3) { ++loaded; next }
       loaded && /^[0-9]+ +(brk\([^N]|mremap|madvise)/
       loaded && /mmap\(NULL.*MAP_ANONYMOUS/' "$1"
}

for name in ls git awk bash sqlite3; do
  strace -f -o "$name.without" bash -c "program $name" >"$name.expected"
  strace -f -o "$name.with" -E LD_PRELOAD="$library" bash -c "program $name" >"$name.got"
  cmp "$name.expected" "$name.got" || fail "$name: its output differs"
  # The shell that starts it goes first; look at what it became only.
  for run in without with; do
    awk '/execve\(/ { n++ } n >= 2' "$name.$run" >"$name.$run.trace"
    calls_for_memory "$name.$run.trace" >"$name.$run.calls"
  done
  if grep -vE 'mmap' "$name.with.calls"; then
    fail "$name: calls for memory"
  fi
  # The program's own mappings, which it makes either way.
  (($(wc -l <"$name.with.calls") <= $(grep -c mmap "$name.without.calls" || :))) ||
    fail "$name: maps memory: $(<"$name.with.calls")"

  RECORD_FD=9 LD_PRELOAD=$record bash -c "program $name" 9>"$name.trace" >/dev/null
  LD_PRELOAD=$library "$fill" copies $((2 << 20)) "$name.trace" >"$name.fill" \
    2>"$name.errors" || fail "$name: $(cat "$name.fill" "$name.errors")"
  echo "$name:"
  cat "$name.fill"
  awk '/^full:/ { live = $(NF - 2) } /^half.*: yes/ { half = 1 }
       END { exit !(live >= 80 && half) }' "$name.fill" || fail "$name: less"
done
