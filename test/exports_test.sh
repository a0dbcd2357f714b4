#!/bin/bash
# What the dynamic loader sees of the library: the names it offers, the names it
# wants, and how it wants to be loaded.
set -euo pipefail
export LC_ALL=C

library=$PWD/preload/libaomalloc.so
manifest=$PWD/preload/exports.map
cd "$TEST_TMPDIR"
failures=0
results=()

# check FUNCTION
check() {
  if "$1"; then
    results+=("  <testcase name=\"$1\"/>")
  else
    echo "FAILED: $1" >&2
    results+=("  <testcase name=\"$1\"><failure/></testcase>")
    failures=$((failures + 1))
  fi
}

sed -E 's/#.*//' "$manifest" | sed -E '/global:/,/local:/!d; /:/d' |
  tr -d ' \t;' | sed '/^$/d' | sort >expected
nm -D --defined-only "$library" | awk '{ print $3 }' | sort >exported
nm -D --undefined-only "$library" >undefined
readelf -dW "$library" >dynamic
readelf -lW "$library" >segments
readelf -rW "$library" >relocations
libc=$(ldd "$library" | awk '$1 == "libc.so.6" { print $3 }')

exports_are_the_manifest() {
  [[ $(wc -l <expected) -ge 50 ]] && diff -u expected exported
}

each_name_is_listed_once() {
  [[ -z $(uniq -d expected) ]]
}

needs_only_libc() {
  [[ $(grep -o 'NEEDED.*' dynamic) == 'NEEDED)             Shared library: [libc.so.6]' ]]
}

no_tls_get_addr() {
  ! grep -E '__tls_get_addr|_dl_tlsdesc' undefined &&
    ! grep -E 'R_X86_64_(DTPMOD|DTPOFF|TLSDESC)|R_AARCH64_TLS(DESC|_DTP)' relocations
}

# Static TLS is scarce for what is loaded late: eight words at most.
thread_local_storage_is_small() {
  local size
  size=$(awk '$1 == "TLS" { print strtonum($6) }' segments)
  [[ $size ]] && ((size <= 64))
}

every_strong_reference_is_in_libc() {
  nm -D --defined-only "$libc" | awk '{ print $3 }' | sed 's/@@/@/' | sort -u >offered
  awk '$1 == "U" { print $2 }' undefined | sort -u >wanted
  [[ -s wanted ]] && comm -23 wanted offered >missing && diff /dev/null missing
}

# A program that pulls in no C++ runtime must not be made to.
no_reference_to_a_cxx_runtime() {
  ! grep -E ' U (_Z|__cxa_(throw|allocate|begin|guard)|__gxx)' undefined
}

bound_at_load_time() {
  grep -qE '\(FLAGS\) .*BIND_NOW' dynamic && grep -qE 'FLAGS_1.*NOW' dynamic
}

never_unloaded() { grep -qE 'FLAGS_1.*NODELETE' dynamic; }
initialised_first() { grep -qE 'FLAGS_1.*INITFIRST' dynamic; }
relocated_read_only() { grep -q GNU_RELRO segments; }
no_text_relocations() { ! grep TEXTREL dynamic; }
thread_local_storage_is_static() { grep -qE '\(FLAGS\) .*STATIC_TLS' dynamic; }
has_its_name() { grep -F 'SONAME' dynamic | grep -qF '[libaomalloc.so]'; }

stack_is_not_executable() {
  [[ $(awk '$1 == "GNU_STACK" { print $7 }' segments) == RW ]]
}

# Before any constructor runs, blocks are handed out already: nothing is left to
# be initialised but the options. (The other entry is the compiler's own.)
no_static_constructors() {
  local size
  size=$(readelf -SW "$library" | sed 's/^ *\[ *[0-9]*\]//' |
    awk '$1 == ".init_array" { print strtonum("0x" $5) }')
  [[ $size ]] && ((size <= 16))
}

nothing_is_writable_and_executable() {
  ! grep -E '^ +LOAD.* RWE ' segments
}

for name in \
  exports_are_the_manifest \
  each_name_is_listed_once \
  needs_only_libc \
  no_tls_get_addr \
  thread_local_storage_is_small \
  every_strong_reference_is_in_libc \
  no_reference_to_a_cxx_runtime \
  bound_at_load_time \
  never_unloaded \
  initialised_first \
  relocated_read_only \
  no_text_relocations \
  thread_local_storage_is_static \
  has_its_name \
  stack_is_not_executable \
  no_static_constructors \
  nothing_is_writable_and_executable; do
  check "$name"
done

{
  echo "<testsuite name=\"exports_test\" tests=\"${#results[@]}\" failures=\"$failures\">"
  printf '%s\n' "${results[@]}"
  echo '</testsuite>'
} >"${XML_OUTPUT_FILE:-/dev/null}"
((failures == 0))
