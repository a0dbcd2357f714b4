#!/bin/bash
# Programs that may have little address space (ulimit -v) or little memory of
# their own (ulimit -d, which is refused as a system is that promises no more
# than it has): they run as they do without the library, and one that wants all
# there is gets nearly as much.
source test/programs/common.sh
need python3

limited() {
  ulimit "-$kind" "$kilobytes"
  exec "$@"
}

for kind in v d; do
  for enable_mmap in 1 0; do
    for kilobytes in 65536 32768; do
      run_both "ls-$kind-$kilobytes" limited ls -l /usr/bin
      run_both "python-$kind-$kilobytes" limited python3 -c 'print("passed")'
    done
  done
done

# Out of memory again and again, and as good as new each time.
enable_mmap=1
kilobytes=131072
for kind in v d; do
  run_both "python-exhausted-$kind" limited python3 -c '
for i in range(5):
    blocks = []
    try:
        while True:
            blocks.append(bytearray(100_000))
    except MemoryError:
        del blocks
    print(sum(len(bytearray(n)) for n in range(0, 10_000_000, 1_000_000)))'
done

# The limit comes later, from the program itself.
run_both python-limits-itself python3 -c '
import resource
limit = 256 << 20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
blocks = []
try:
    while len(blocks) < 10_000:
        blocks.append(bytearray(100_000))
    print("1 GB")
except MemoryError:
    print("no memory after", len(blocks) // 1500 * 1500, "blocks or more")'

# Then it still starts threads and programs, and maps and loads what it wants.
run_both python-limits-itself-and-goes-on python3 -c '
import mmap, resource, subprocess, threading
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
thread = threading.Thread(target=lambda: None)
thread.start()
thread.join()
print(subprocess.run(["/bin/true"]).returncode)
import ctypes, decimal, lzma, sqlite3, ssl
mmap.mmap(-1, 1 << 20)
print(len(bytearray(100 << 20)))'

# What it frees is there for threads, mappings and larger blocks.
run_both python-limits-itself-and-frees python3 -c '
import mmap, resource, threading
resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))
blocks = []
try:
    while True:
        blocks.append(bytearray(8 << 20))
except MemoryError:
    pass
del blocks[::2]
thread = threading.Thread(target=lambda: print("a thread"))
thread.start()
thread.join()
print(len(mmap.mmap(-1, 10 << 20)), len(bytearray(20 << 20)))'

# hold TAKES: without the library and with it, which TAKES so many blocks itself.
hold() {
  run "hold.without" limited "$helpers/hold" 100000
  run "hold.with" with_library limited "$helpers/hold" 100000
  local blocks peer
  blocks=$(sed -n '1s/ blocks of 64 KiB$//p' "$TEST_TMPDIR/hold.with/stdout")
  peer=$(sed -n '1s/ blocks of 64 KiB$//p' "$TEST_TMPDIR/hold.without/stdout")
  echo "$blocks blocks, $peer without the library"
  ((blocks + $1 >= peer * 9 / 10)) ||
    fail 'much less memory than without the library'
  diff - <(tail -n +2 "$TEST_TMPDIR/hold.with/stdout") <<'END' ||
then NULL, errno is ENOMEM
asked again: NULL, errno is ENOMEM
asked again: NULL, errno is ENOMEM
asked again: NULL, errno is ENOMEM
asked after a free: a block
END
    fail 'wrong answers'
  [[ ! -s $TEST_TMPDIR/hold.with/stderr ]] || fail 'the library said something'
}

# What the library takes for itself counts.
for kind in v d; do
  for kilobytes in 65536 1048576; do hold 64; done
done

# So little that the static heap is refused, when the program itself is loaded
# just so: it has the array, and says so.
enable_mmap=0
refused=0
for ((kilobytes = 2500; kilobytes <= 8500; kilobytes += 250)); do
  run "tight.without-$kilobytes" limited "$helpers/hold" 0
  run "tight.with-$kilobytes" with_library limited "$helpers/hold" 0
  status=$(<"$TEST_TMPDIR/tight.with-$kilobytes/status")
  if grep -q 'the system refuses the static heap of 2097152 bytes; it has 131072 bytes' \
    "$TEST_TMPDIR/tight.with-$kilobytes/stderr"; then
    ((refused += 1))
    [[ $status == 0 ]] || fail "without the static heap: status $status"
  fi
  # The dynamic loader says 127 where there is no room for the library.
  [[ $status == 0 || $status == 127 || $(<"$TEST_TMPDIR/tight.without-$kilobytes/status") != 0 ]] ||
    fail "status $status"
done
((refused > 0)) || fail 'the static heap was never refused'
