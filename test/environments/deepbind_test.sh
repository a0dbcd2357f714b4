#!/bin/bash
# Libraries that are loaded with RTLD_DEEPBIND have our malloc, as others have.
# With AO_MALLOC_KEEP_DEEPBIND=1 theirs is glibc's own: then blocks of its heap
# are given back to it, and what only looks like one is not.
source test/environments/common.sh

need php readelf

# The plugin finds another by its own RUNPATH, which is not the program's.
plugin=$TEST_TMPDIR/plugin/plugin.so
mkdir -p "${plugin%/*}/inner"
cp "$helpers/deepbind_plugin.so" "$plugin"
cp "$helpers/deepbind_plugin.so" "${plugin%/*}/inner/deepbind_inner.so"
# shellcheck disable=SC2016 # It is the loader's.
readelf -d "$plugin" | grep -F RUNPATH | grep -qF '[$ORIGIN/inner]' ||
  fail 'the plugin has no RUNPATH'

assert_served "$helpers/deepbind" "$plugin" 5242880 deepbind_inner.so
run_both deepbind "$helpers/deepbind" "$plugin" 5242880 deepbind_inner.so
enable_mmap=0
run_both 'deepbind, static' "$helpers/deepbind" "$plugin" 100000 deepbind_inner.so
enable_mmap=1

# kept NAME COMMAND...: with and without the library, and the flag left on.
kept() {
  run_both "kept, $1" env AO_MALLOC_KEEP_DEEPBIND=1 "${@:2}"
}
kept deepbind "$helpers/deepbind" "$plugin" 5242880 deepbind_inner.so
# With arenas that are found another way, and none.
for tunable in arena_max=1 mmap_threshold=4096 tcache_count=0; do
  kept "$tunable" env "GLIBC_TUNABLES=glibc.malloc.$tunable" \
    "$helpers/deepbind" "$plugin" 5242880
done
run_both 'not kept' env AO_MALLOC_KEEP_DEEPBIND=0 "$helpers/deepbind" "$plugin" 100000

# A stock program that loads its extensions so. Nothing has glibc's malloc.
# shellcheck disable=SC2016 # It is PHP.
program='echo 6*7, " ", strlen(json_encode(range(1, 100000))), " ",
  count(array_filter(explode(" ", str_repeat("a b ", 50000)))), "\n";'
for enable_mmap in 0 1; do
  if ((enable_mmap)); then unset AO_MALLOC_STATIC_HEAP; else export AO_MALLOC_STATIC_HEAP=16M; fi
  assert_served php -r 'echo 6*7;'
  ! grep "to [^ ]*libc.so.6 .*symbol \`\(malloc\|free\)'" "$TEST_TMPDIR"/bindings/* ||
    fail 'an extension of PHP has another malloc'
  for code in 'echo 6*7;' "$program"; do
    run_both php php -r "$code"
    [[ ! -s $TEST_TMPDIR/php.with/stderr ]] || fail 'PHP complains'
  done
done
