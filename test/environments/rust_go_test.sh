#!/bin/bash
# Programs in Rust, and in Go with libraries in C (cgo).
source test/environments/common.sh

need fdfind fzf rg runc

make_files() {
  local i
  mkdir -p a/b/c
  for ((i = 0; i < 100; ++i)); do
    printf 'line %d of many\n' {1..200} >"a/b/c/file$i.txt"
    ln -s "b/c/file$i.txt" "a/link$i"
  done
}

search() {
  make_files
  rg --sort path --count 'line 1[0-9]+ of' a
  rg --threads 4 --no-line-number 'line 199 of' a | sort
  rg --pcre2 --sort path '(?<=line )42(?= of)' a
}
assert_served rg --pcre2 x /etc/passwd
run_both rg search

find_files() {
  make_files
  fdfind --threads 4 --type f . a | sort
  fdfind --type f --extension txt --exec echo '{/}' \; . a | sort
}
assert_served fdfind --version
run_both fdfind find_files

filter() { seq 100000 | fzf --filter 4242 --no-sort; }
assert_served fzf --version
run_both fzf filter

# It reads its rules with libseccomp, by way of cgo. Where no sysfs is mounted it
# panics when it looks for cgroups.
container() {
  runc --version
  runc features
  [[ -d /sys/fs/cgroup ]] || return 0
  runc spec
  ! runc --root "$PWD/state" start nothing
}
assert_served runc --version
normalise='s/time="[^"]*"/time/'
run_both runc container
