#!/bin/bash
# Programs that may have little address space (ulimit -v): they run as they do
# without the library, and one that wants all there is gets nearly as much.
source test/programs/common.sh
need python3

limited() {
  ulimit -v "$kilobytes"
  exec "$@"
}

for mmap in 1 0; do
  enable_mmap=$mmap
  for kilobytes in 65536 32768; do
    run_both "ls-$kilobytes" limited ls -l /usr/bin
    run_both "python-$kilobytes" limited python3 -c 'print("passed")'
  done
done

# Out of memory again and again, and as good as new each time.
enable_mmap=1
kilobytes=131072
run_both python-exhausted limited python3 -c '
for i in range(5):
    blocks = []
    try:
        while True:
            blocks.append(bytearray(100_000))
    except MemoryError:
        del blocks
    print(sum(len(bytearray(n)) for n in range(0, 10_000_000, 1_000_000)))'

# In blocks of 64 KiB: the static array, which counts, used or not.
array=$((16 * 16))
for kilobytes in 65536 1048576; do
  run "hold.without" limited "$helpers/hold" 100000
  run "hold.with" with_library limited "$helpers/hold" 100000
  blocks=$(sed -n '1s/ blocks of 64 KiB$//p' "$TEST_TMPDIR/hold.with/stdout")
  peer=$(sed -n '1s/ blocks of 64 KiB$//p' "$TEST_TMPDIR/hold.without/stdout")
  echo "$blocks blocks, $peer without the library"
  ((blocks + array >= peer * 9 / 10)) ||
    fail 'much less memory than without the library'
  diff - <(tail -n +2 "$TEST_TMPDIR/hold.with/stdout") <<'END' || fail 'wrong answers'
then NULL, errno is ENOMEM
asked again: NULL, errno is ENOMEM
asked again: NULL, errno is ENOMEM
asked again: NULL, errno is ENOMEM
asked after a free: a block
END
  [[ ! -s $TEST_TMPDIR/hold.with/stderr ]] || fail 'the library said something'
done
