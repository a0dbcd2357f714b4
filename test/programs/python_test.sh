#!/bin/bash
# python3: most of its library, json, threads, multiprocessing, subprocess.
source test/programs/common.sh
need python3
export PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1

assert_served python3 -c 'import subprocess; subprocess.run(["true"])'
run_both imports python3 "$helpers/python_imports.py"
expected_status=4
export PYTHONMALLOC=malloc # Not Python's own arenas.
run_both work python3 "$helpers/python_work.py"
