#!/bin/bash
# A program that replaces some of operator new and delete gets its own for all
# forms that the standard defines in terms of them.
source test/environments/common.sh

assert_served "$helpers/replaced_new"
run_both replaced_new "$helpers/replaced_new"
