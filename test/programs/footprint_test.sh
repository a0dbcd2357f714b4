#!/bin/bash
# What the library takes of a small program, which allocates little: of addresses,
# and of variables, which a conservative collector reads at each collection.
source test/programs/common.sh

assert_served "$helpers/footprint"

# measure NAME COMMAND...: sets addresses and variables, in KiB.
measure() {
  run "$@"
  [[ $(<"$TEST_TMPDIR/$1/status") == 0 ]] || fail "$1: $(<"$TEST_TMPDIR/$1/stderr")"
  read -r addresses variables <"$TEST_TMPDIR/$1/stdout"
}

measure without "$helpers/footprint"
without=$addresses
((without > 1000 && variables == 0)) || fail "without it: $addresses, $variables"

for name in libaomalloc libaomalloc-hardened; do
  library=$PWD/preload/$name.so
  for enable_mmap in 1 0; do
    measure "$name-$enable_mmap" with_library "$helpers/footprint"
    echo "$name, AO_MALLOC_ENABLE_MMAP=$enable_mmap: $((addresses - without)) KiB" \
      "more addresses than $without, $variables KiB of variables"
    ((variables > 0 && variables <= 320)) || fail 'the variables'
    ((addresses - without <= 3584)) || fail 'the address space'
  done
done
