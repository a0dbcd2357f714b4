#!/bin/bash
# aomalloc top, report and what, on processes in both modes and a core dump: all
# figures are those of the library's own report; pointers, refusals and the live
# view are as they should be.
source test/programs/common.sh
need gdb python3 nm readelf
unset DEBUGINFOD_URLS
mkdir -p "$work"
/usr/bin/python3 -IB "$helpers/check_inspect.py" "$PWD/scripts" "$helpers/watched" "$work" \
  "$library" "${library%.so}-hardened.so"
