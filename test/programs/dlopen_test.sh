#!/bin/bash
# dlopen, dlsym and dlclose in loops and from several threads.
source test/programs/common.sh

assert_served "$helpers/dlopen_threads" "$helpers/plugin.so" 1
run_both dlopen "$helpers/dlopen_threads" "$helpers/plugin.so" 300
