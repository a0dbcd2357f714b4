"""Imports most of the library, for python_test."""

import importlib
import sys

count = 0
for name in sorted(sys.stdlib_module_names):
    if name in ("antigravity", "idlelib", "this") or name.startswith("__"):
        continue
    try:
        importlib.import_module(name)
        count += 1
    except ImportError as error:
        print("not here:", name, type(error).__name__)
print("imported", count)
assert count > 200
