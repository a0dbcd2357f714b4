#!/bin/bash
# Programs for AO_malloc build and run with the header and the static library,
# in C and in C++, and need no C++ runtime.
set -euo pipefail
root=$PWD
archive=$root/core/libaomalloc.a
cd "$TEST_TMPDIR"
mkdir -p include
ln -sf "$root/core/atomic_ops_malloc.h" include/
warnings=(-Wall -Wextra -Werror)

echo '#include "atomic_ops_malloc.h"
int main(void) { AO_free(AO_malloc(1)); AO_malloc_enable_mmap(); return 0; }' >header.c
cp header.c header.cc
for standard in c89 c99 c11 c17; do
  gcc -I include -std=$standard -pedantic-errors "${warnings[@]}" header.c -o header "$archive" -lpthread
  ./header
done
for standard in c++98 c++11 c++17 c++20; do
  g++ -I include -std=$standard -pedantic-errors "${warnings[@]}" header.cc -o header "$archive" -lpthread
  ./header
done

gcc -I include -O2 "${warnings[@]}" "$root/test/ao_c_test.c" -o in_c "$archive" -lpthread
g++ -I include -O2 "${warnings[@]}" -x c++ "$root/test/ao_c_test.c" -x none -o in_cxx "$archive" -lpthread
gcc -I include -O2 -static "${warnings[@]}" "$root/test/ao_c_test.c" -o linked_statically "$archive" -lpthread

for program in in_c in_cxx linked_statically; do
  for mode in static mmap; do
    echo "$program $mode"
    timeout 60 ./$program $mode
  done
done

# No strong name but the interface's and our namespace's: the others are the
# program's to use.
nm -g --defined-only "$archive" | awk '$2 ~ /[TDBR]/ { print $3 }' |
  grep -vE '^(AO_|_ZN8aomalloc|_ZNK8aomalloc|_ZGVN8aomalloc)' >foreign || :
[[ ! -s foreign ]] || { cat foreign; exit 1; }
