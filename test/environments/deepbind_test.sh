#!/bin/bash
# Blocks that come from glibc's own heap, by way of a library that was loaded
# with RTLD_DEEPBIND, are given back to it; what only looks like one is not.
source test/environments/common.sh

assert_served "$helpers/deepbind" "$helpers/deepbind_plugin.so"
run_both deepbind "$helpers/deepbind" "$helpers/deepbind_plugin.so"
# With arenas that are found another way, and none.
for tunable in arena_max=1 mmap_threshold=4096 tcache_count=0; do
  run_both "deepbind, $tunable" env "GLIBC_TUNABLES=glibc.malloc.$tunable" \
    "$helpers/deepbind" "$helpers/deepbind_plugin.so"
done
