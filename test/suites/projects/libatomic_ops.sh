# shellcheck shell=bash
# test_malloc.c of libatomic_ops, in 16 threads: on malloc, preloaded or not; and
# on AO_malloc, which is libatomic_ops' without the library and ours with it, in
# its fixed heap and with mmap.
about="libatomic_ops' test_malloc, against its header and library and ours"
needs=(gcc=gcc /usr/include/atomic_ops.h=libatomic-ops-dev)
from=libatomic-ops
release=trixie # Its tests try more than those of 12.

tests() {
  local compile=(gcc -O2 -w -DAO_REQUIRE_CAS tests/test_malloc.c -I tests) kind
  local ours=()
  if [[ ${LD_PRELOAD-} ]]; then
    ours=(-I "$work" "$work/libaomalloc.a")
  else
    ours=(-latomic_ops_gpl -latomic_ops)
  fi
  "${compile[@]}" -DHAVE_MMAP -DUSE_STANDARD_MALLOC -o standard -lpthread
  "${compile[@]}" -DHAVE_MMAP -o mmap "${ours[@]}" -lpthread
  "${compile[@]}" -DDONT_USE_MMAP -o fixed "${ours[@]}" -lpthread
  for kind in standard mmap fixed; do
    if "./$kind"; then echo "passed $kind"; else echo "failed $kind"; fi
  done
}

outcomes() {
  grep -E '^(passed|failed) (standard|mmap|fixed)$'
}
