"""What becomes of each defect under each library: the table of README.md.

usage: table.py PROGRAM NAME=PATH.so...

A cell is the worst that was seen in ten runs:

  message  the defect is named on stderr, and the process aborts
  crash    the process is killed by a signal, without a word
  silent   nothing happens, and the program's own memory is unharmed
  damage   the program's own memory is changed, or it never ends
"""

import os
import signal
import subprocess
import sys

CELLS = ["message", "crash", "silent", "damage"]
RUNS = 10
SECONDS = 20


def run(program, defect, library):
    environment = {"PATH": os.environ["PATH"], "AO_MALLOC_ENABLE_MMAP": "1",
                   "LD_PRELOAD": library, "MIMALLOC_SHOW_ERRORS": "1"}
    try:
        done = subprocess.run([program, defect], env=environment, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "damage"
    if done.returncode == 3:
        return "damage"
    if done.returncode == 0:
        # A word, and on it goes.
        return "message" if done.stderr else "silent"
    if done.returncode > 0:
        return "message" if done.stderr else "crash"
    abort = -done.returncode in (signal.SIGABRT, signal.SIGILL, signal.SIGTRAP)
    return "message" if abort and done.stderr else "crash"


def main():
    program = sys.argv[1]
    libraries = [arg.partition("=")[::2] for arg in sys.argv[2:]]
    defects = subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True,
                             check=True).stdout.splitlines()
    print("| defect |", " | ".join(name for name, _ in libraries), "|")
    print("| --- |" + " --- |" * len(libraries))
    count = {name: dict.fromkeys(CELLS, 0) for name, _ in libraries}
    for defect in defects:
        row = []
        for name, path in libraries:
            cells = [run(program, defect, path) for _ in range(RUNS)]
            row.append(max(cells, key=CELLS.index))
            count[name][row[-1]] += 1
        print(f"| {defect} |", " | ".join(row), "|", flush=True)
    for cell in CELLS:
        print(f"| **{cell}** |",
              " | ".join(f"**{count[name][cell]}**" for name, _ in libraries), "|")


if __name__ == "__main__":
    main()
