#!/bin/bash
# A program that brings its own malloc is left alone, with all its libraries: those
# that it loads with RTLD_DEEPBIND have the C library's. Its operator new is the runtime's.
source test/environments/common.sh

run_both own_malloc "$helpers/own_malloc" "$helpers/deepbind_plugin.so"
run_both own_malloc_new "$helpers/own_malloc_new"

# Not without the library: the runtime's operators lead from one malloc to the other.
with_library "$helpers/part_malloc_new" || fail 'a free got a block of another malloc'

# It has no malloc of its own, although malloc's address is in it.
with_library "$helpers/fixed_new" 2>"$TEST_TMPDIR/errors" || true
grep -q 'freed as 5000 bytes' "$TEST_TMPDIR/errors" || fail 'taken for one with its own malloc'
