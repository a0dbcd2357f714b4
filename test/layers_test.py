#!/usr/bin/python3 -I
"""Files include only those of their own room and of the rooms below it.

Within a room no two modules (a header and its source) lead to one another, and
core/README.md shows the rooms in this order.
"""

import pathlib
import re
import sys

# From bottom to top.
ROOMS = [
    "core/base", "core/arena", "core/profile", "core/heap", "core/thread",
    "core/report", "core", "preload",
]

FROM_OUTSIDE = ["atomic_ops.h"]


def module(path):
    """A header and its source are one; so are the parts of the reports."""
    return re.sub(r"(_text|_json)?\.(h|cc)$", "", path)


def main(root):
    includes = {}
    for room in ROOMS:
        for path in sorted((root / room).glob("*.*")):
            if path.suffix in (".h", ".cc"):
                includes[str(path.relative_to(root))] = re.findall(
                    r'^#include "([^"]+)"', path.read_text(), re.MULTILINE)
    faults = []
    edges = {}
    for path, names in includes.items():
        here = ROOMS.index(str(pathlib.PurePath(path).parent))
        for name in names:
            if name in FROM_OUTSIDE:
                continue
            if name not in includes:
                faults.append(f"{path} includes {name}, which is in no room")
                continue
            if ROOMS.index(str(pathlib.PurePath(name).parent)) > here:
                faults.append(f"{path} includes {name}, which is above it")
            if module(name) != module(path):
                edges.setdefault(module(path), set()).add(module(name))

    # Depth first: what is on the way already closes a cycle.
    done = set()

    def walk(at, way):
        if at in way:
            cycle = " -> ".join(way[way.index(at):] + [at])
            faults.append(f"{cycle}: a cycle")
        elif at not in done:
            for to in sorted(edges.get(at, ())):
                walk(to, way + [at])
            done.add(at)

    for at in sorted(edges):
        walk(at, [])

    shown = re.findall(r"^ ((?:core|preload)[a-z/]*)/ {2,}",
                       (root / "core/README.md").read_text(), re.MULTILINE)
    if shown != ROOMS[::-1]:
        faults.append(f"core/README.md shows the rooms as {shown}")

    for fault in faults:
        print("FAILED:", fault)
    print(f"{len(includes)} files, {sum(map(len, includes.values()))} includes")
    return 1 if faults or len(includes) < 60 else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(__file__).resolve().parents[1]))
