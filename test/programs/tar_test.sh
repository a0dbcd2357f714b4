#!/bin/bash
# tar and xz: archives made by one thread and by two, listed, tested, extracted;
# the archives are compared too.
source test/programs/common.sh
need tar xz perl

# 4 MB in 300 files.
mkdir "$TEST_TMPDIR/tree"
perl - "$TEST_TMPDIR/tree" <<'END'
my $state = 1;
for my $d (1 .. 20) {
  mkdir "$ARGV[0]/directory $d" or die;
  for my $f (1 .. 15) {
    open my $out, '>', "$ARGV[0]/directory $d/file$f" or die;
    for (1 .. 25 * $f) {
      $state = ($state * 1103515245 + 12345) & 0x7fffffff;
      print $out "line $_: ", "$state " x 5, "\n";
    }
  }
}
END

session() {
  local options=(--sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner)
  tar "${options[@]}" -C "$TEST_TMPDIR/tree" -cJf one.tar.xz .
  XZ_OPT='-3 -T2 --block-size=256KiB' \
    tar "${options[@]}" -C "$TEST_TMPDIR/tree" -cJf two.tar.xz .
  xz --test two.tar.xz
  xz --list one.tar.xz two.tar.xz
  tar -tvf two.tar.xz
  mkdir extracted
  tar -xf one.tar.xz -C extracted
  diff -r extracted "$TEST_TMPDIR/tree"
  rm -r extracted
  head -c 50000 one.tar.xz >broken.tar.xz
  tar -xOf broken.tar.xz >/dev/null || echo "tar returned $?"
}

assert_served tar -cJf /dev/null "$helpers/common.sh"
run_both tar session
