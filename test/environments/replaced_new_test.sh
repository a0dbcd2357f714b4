#!/bin/bash
# A program that replaces some of operator new and delete gets its own for all
# forms that the standard defines in terms of them.
source test/programs/common.sh

program=$PWD/test/environments/replaced_new
assert_served "$program"
run_both replaced_new "$program"
