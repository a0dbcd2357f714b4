#!/bin/bash
# The variables: which values of AO_MALLOC_ENABLE_MMAP enable mmap, what the sizes
# of the other two bound, and what is said of any other value.
source test/programs/common.sh

# try NAME BLOCKS [ASSIGNMENT]: runs hold; sets status and errors.
try() {
  run "$1" env LD_PRELOAD="$library" "${@:3}" "$helpers/hold" "$2"
  status=$(<"$TEST_TMPDIR/$1/status")
  errors=$(<"$TEST_TMPDIR/$1/stderr")
  blocks=$(sed -nE '1s/^([0-9]+) blocks of 64 KiB$/\1/p' \
    "$TEST_TMPDIR/$1/stdout")
}

# expect_blocks LEAST MOST: how many `try` got before it was refused one.
expect_blocks() {
  ((status == 3 && blocks >= $1 && blocks <= $2)) ||
    fail "$blocks blocks, not $1 to $2; status $status; $errors"
}

assert_served "$helpers/hold" 1

for value in 1 true yes on TRUE Yes On oN; do
  try "on: $value" 1000 "AO_MALLOC_ENABLE_MMAP=$value"
  [[ $status == 0 && ! $errors ]] ||
    fail "'$value' does not enable mmap: status $status; $errors"
done

for value in 0 false no off FALSE Off ''; do
  try "off: $value" 1000 "AO_MALLOC_ENABLE_MMAP=$value"
  [[ $status == 3 ]] ||
    fail "'$value' does not leave mmap off: status $status; $errors"
  try "off, enough: $value" 4 "AO_MALLOC_ENABLE_MMAP=$value"
  [[ $status == 0 && ! $errors ]] ||
    fail "'$value' is not taken silently: status $status; $errors"
done

try unset 1000
[[ $status == 3 ]] || fail "mmap is not off by default: status $status; $errors"
try 'unset, enough' 4
[[ $status == 0 && ! $errors ]] || fail "unset, yet status $status; $errors"

for value in maybe 2 truefalse; do
  try "other, enough: $value" 4 "AO_MALLOC_ENABLE_MMAP=$value"
  [[ $status == 0 && $errors == *AO_MALLOC_ENABLE_MMAP*"$value"* &&
    $errors != *$'\n'* ]] ||
    fail "'$value' is not refused in one line: status $status; $errors"
  try "other: $value" 1000 "AO_MALLOC_ENABLE_MMAP=$value"
  [[ $status == 3 ]] ||
    fail "'$value' does not leave mmap off: status $status; $errors"
done

# A block or two less than the size, for what the C library itself allocates.
try 'static heap: 1M' 1000 AO_MALLOC_STATIC_HEAP=1M
expect_blocks 14 16
[[ $errors == *'static heap of 1048576 bytes is full'* ]] || fail "$errors"
try 'static heap: 16384k' 1000 AO_MALLOC_STATIC_HEAP=16384k
expect_blocks 254 256
try 'static heap: 32M' 1000 AO_MALLOC_STATIC_HEAP=32M
expect_blocks 510 512
try 'static heap: 192K' 1000 AO_MALLOC_STATIC_HEAP=192K
expect_blocks 1 3
try 'static heap: 4K' 1000 AO_MALLOC_STATIC_HEAP=4K
[[ $status == 5 && $blocks == 0 ]] || fail "$blocks blocks; status $status"
try 'static heap: empty' 1000 AO_MALLOC_STATIC_HEAP=
expect_blocks 30 32
try 'limit: 1M' 1000 AO_MALLOC_ENABLE_MMAP=1 AO_MALLOC_LIMIT=1M
expect_blocks 14 16
[[ ! $errors ]] || fail "the limit is announced: $errors"
try 'limit: 52428800' 1000 AO_MALLOC_ENABLE_MMAP=1 AO_MALLOC_LIMIT=52428800
expect_blocks 797 800
try 'limit: 1G' 1000 AO_MALLOC_ENABLE_MMAP=1 AO_MALLOC_LIMIT=1G
[[ $status == 0 ]] || fail "a limit of 1 GiB is reached at 63 MiB"

for variable in AO_MALLOC_STATIC_HEAP AO_MALLOC_LIMIT; do
  for value in 0 1K big 16MB -1 99999999999999999999; do
    try "$variable=$value" 4 "$variable=$value"
    [[ $status == 0 && $errors == *"$variable=$value is not "* &&
      $errors != *$'\n'* ]] ||
      fail "$variable=$value is not refused in one line: $status; $errors"
  done
done
for value in auto never always; do
  try "huge pages: $value" 1000 AO_MALLOC_ENABLE_MMAP=1 "AO_MALLOC_HUGE_PAGES=$value"
  [[ $status == 0 && ! $errors ]] || fail "huge pages '$value': $status; $errors"
done
for value in 1 yes neve alwaysx; do
  try "huge pages: $value" 4 "AO_MALLOC_HUGE_PAGES=$value"
  [[ $status == 0 && $errors == *"AO_MALLOC_HUGE_PAGES=$value is not one of auto, never, always; ignored" &&
    $errors != *$'\n'* ]] ||
    fail "AO_MALLOC_HUGE_PAGES=$value is not refused in one line: $status; $errors"
done
for value in 257G 200G; do
  (
    ulimit -v 1048576
    try "static heap: $value, more than there is" 1000 "AO_MALLOC_STATIC_HEAP=$value"
    expect_blocks 30 32
    [[ $errors == *"AO_MALLOC_STATIC_HEAP=$value is not "* ]] || fail "$errors"
  )
done
