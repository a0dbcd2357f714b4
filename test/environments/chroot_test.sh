#!/bin/bash
# A root directory that holds nothing but the program: no /proc, no /dev, no
# /etc.
source test/environments/common.sh
need_root

root=$TEST_TMPDIR/root
mkdir -p "$root/tmp"
for binary in "$helpers/exercise" /bin/ls "$library"; do
  # All of it where it is outside: that is where it is looked for.
  for file in "$binary" $(ldd "$binary" | grep -oE '/[^ ]+'); do
    mkdir -p "$root${file%/*}"
    cp -L "$file" "$root$file"
  done
done

# confined THREADS ROUNDS
confined() {
  as_root /usr/sbin/chroot "$root" "$helpers/exercise" "$@"
  as_root /usr/sbin/chroot "$root" /bin/ls -l /
}

run_both chroot confined 4 300
enable_mmap=0
run_both 'chroot, on the static heap' confined 1 100
