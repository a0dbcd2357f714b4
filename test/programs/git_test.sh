#!/bin/bash
# git: commits, branches, a merge, an import, gc, fsck, clones.
source test/programs/common.sh
need git

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org
export GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org
export GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000'

# 1,500 commits to 350 files, for git fast-import.
for ((i = 1; i <= 1500; i++)); do
  text=$(printf 'line %d of %d\n' {1..40} "$i" $((i * i)))
  printf 'blob\nmark :%d\ndata %d\n%s\n' "$i" ${#text} "$text"
  printf 'commit refs/heads/imported\nmark :%d\n' $((i + 2000))
  printf 'committer C <c@example.org> %d +0000\n' $((1000000000 + i))
  printf 'data 8\nnumber %d\n' $((i % 10))
  printf 'M 100644 :%d dir%d/file%d\n\n' "$i" $((i % 7)) $((i % 50))
done >"$TEST_TMPDIR/history"

session() {
  git init -b main repository
  cd repository
  git config gc.auto 0
  for i in {1..15}; do
    seq $((i * 100)) >"file$i"
    git add -A
    git commit -m "commit $i"
  done
  git checkout -b side HEAD~5
  seq 300 400 >side
  git add side
  git commit -m side
  git merge --no-edit main
  git fast-import --quiet <"$TEST_TMPDIR/history"
  git log --stat --all | sha256sum
  git log -p -M --reverse imported | sha256sum
  git gc --quiet --aggressive
  git count-objects
  git fsck --full
  git blame imported -- dir1/file1 | sha256sum
  git grep -c 'line 7' imported | sha256sum
  git diff --stat main imported | tail -n 3
  git cat-file --batch-check --batch-all-objects | sha256sum
  git status
  cd ..
  git clone --quiet repository local
  git clone --quiet --no-local --branch imported repository transported
  git -C transported log --oneline -n 3
  git -C transported archive HEAD | sha256sum
  git -C local rev-parse HEAD nonexistent || echo "rev-parse returned $?"
  rm -rf repository local transported # They hold inode numbers and times.
}

assert_served git init
run_both git session
