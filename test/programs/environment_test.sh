#!/bin/bash
# The values of AO_MALLOC_ENABLE_MMAP: which enable mmap, which do not, and what
# is said of any other.
source test/programs/common.sh

# try NAME BLOCKS [ASSIGNMENT]: runs hold; sets status and errors.
try() {
  run "$1" env LD_PRELOAD="$library" "${@:3}" "$helpers/hold" "$2"
  status=$(<"$TEST_TMPDIR/$1/status")
  errors=$(<"$TEST_TMPDIR/$1/stderr")
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
