#!/bin/bash
# Threads that fork while others allocate; children and grandchildren allocate,
# free and start threads.
source test/programs/common.sh

assert_served "$helpers/fork_storm" 1
run_both fork "$helpers/fork_storm" 100
