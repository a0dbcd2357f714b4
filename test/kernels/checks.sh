# shellcheck shell=dash disable=SC2034,SC2154
# What is run inside a guest: read by init, in the folder in which scripts/kernels
# has put it all. `kernels_checks` is all or short; short is for a processor that
# is emulated, where it takes some minutes.

PLAIN=LD_PRELOAD=$PWD/libaomalloc.so
HARDENED=LD_PRELOAD=$PWD/libaomalloc-hardened.so
MMAP=AO_MALLOC_ENABLE_MMAP=1 STATIC=AO_MALLOC_ENABLE_MMAP=0

is_short() { [ "$kernels_checks" = short ]; }

# in_heaps COMMAND...: in both heaps.
in_heaps() {
  check "${1##*/}, mmap" env "$PLAIN" $MMAP "$@"
  check "${1##*/}, static" env "$PLAIN" $STATIC "$@"
}

# step NAME ARG...: a part of what test/stepper does.
step() {
  local name=$1
  shift
  check "stepper, $name" programs/stepper --library "$PWD/libaomalloc.so" \
    --deadline 60 "$@"
}

# Of the unit tests, those that are about what the system does, but for cases that
# take most of the time.
SLOW='*AtAnyInstruction:*.StoppedAnywhere*:*/Pieces:*.BlocksThatWentHomeAreWiped:*.NoMoreThanSoMany*'
! is_short || export GTEST_FILTER="-$SLOW"
SHORT='arena ceiling fault guards hardening move nth_call os os_memory processes purge
  refusal thread vanished'
is_wanted() {
  local name
  is_short || return 0
  for name in $SHORT; do
    case $1 in unit/"$name"_test*) return 0 ;; esac
  done
  return 1
}

for test in unit/*; do
  is_wanted "$test" && check "${test#*/}" "$test"
done
for test in preloaded/*; do
  # One case asks python3, which is there for one machine only.
  filter=${GTEST_FILTER-*}
  [ -e /usr/bin/python3 ] || filter=-InterposeTest.MallocInfoWritesWellFormedXml
  check "${test#*/}, preloaded" env "$PLAIN" $MMAP "GTEST_FILTER=$filter" "$test"
done

check 'grow, without the library' programs/grow
check 'grow, mmap' env "$PLAIN" $MMAP programs/grow
check 'grow, hardened, mmap' env "$HARDENED" $MMAP programs/grow
check 'strict, static' env "$PLAIN" $STATIC programs/strict

# Programs of the system do what they do without the library.
if [ -e session ]; then
  ./session >/expected 2>&1 </dev/null
  expected=/expected
  check 'session, mmap' env "$PLAIN" $MMAP ./session
  check 'session, hardened, mmap' env "$HARDENED" $MMAP ./session
  check 'session, static' env "$PLAIN" $STATIC AO_MALLOC_STATIC_HEAP=16M ./session
  check 'session, hardened, static' \
    env "$HARDENED" $STATIC AO_MALLOC_STATIC_HEAP=16M ./session
  expected=
fi

in_heaps programs/storm
if ! is_short; then
  in_heaps programs/cancel
  in_heaps programs/contexts
  in_heaps programs/spawn
  check 'full, static' env "$PLAIN" $STATIC programs/full
  check 'full, mmap' \
    env "$PLAIN" $MMAP AO_MALLOC_LIMIT=4M programs/full 500 $((4 << 20))
fi
if [ -e programs/stepper ]; then
  if is_short; then
    step 'system calls' --env mmap --mode handler,park,fork --stride 197 \
      --scenario malloc_huge,realloc_moves_pages,free_purges
  else
    step handler --mode handler,onstack --stride 499
    step park --mode park,kill --stride 499
    step fork --mode fork --stride 499
    in_heaps programs/parked
    in_heaps programs/ways_out
    in_heaps programs/stack_depth
    in_heaps programs/jumps 2000
    in_heaps programs/deaths 1000
  fi
fi
