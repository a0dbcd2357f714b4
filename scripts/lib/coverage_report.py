"""coverage_report.py ROOT COUNTERS NOTES: what scripts/coverage prints.

ROOT is the source tree; COUNTERS a folder in which the programs left their .gcda
files, and NOTES one in which the compiler left the .gcno files, at the same places.
The status is 0 if each line was reached, or is in test/not_reached.txt.
"""

import collections
import json
import pathlib
import re
import subprocess
import sys


def report_of(counters, notes):
    """What gcov has to say, a record for each object."""
    # It wants what the compiler noted of a file beside what its code counted.
    objects = list(counters.rglob("*.gcda"))
    for path in objects:
        note = path.with_suffix(".gcno")
        note.symlink_to(notes / note.relative_to(counters))
    report = subprocess.run(
        ["gcov", "--json-format", "--stdout", "--relative-only", *objects],
        cwd=counters, stdout=subprocess.PIPE, check=True, text=True)
    return map(json.loads, report.stdout.splitlines())


def never_called(functions, lines):
    """The numbers of lines in functions that need not be called.

    What the compiler evaluates itself or inlines everywhere is there once more, as a
    function that nobody calls: not that function's lines, or not its first, which is
    not inlined, are meant.
    """
    for function in functions:
        start, end = function["start_line"], function["end_line"]
        if function["execution_count"]:
            continue
        if re.search(r"\bconstexpr\b", lines[start - 1]):
            yield from range(start, end + 1)
        elif re.search(r"\balways_inline\b", lines[start - 1]):
            yield start


def excused(root):
    """The lines that need not be reached, as test/not_reached.txt has them."""
    return set((root / "test/not_reached.txt").read_text().splitlines())


def main(root, counters, notes):
    """Returns an exit status."""
    known = excused(root)
    text = {str(path.relative_to(root)): path.read_text().splitlines()
            for path in sorted(root.glob("core/**/*.*"))}
    reached = collections.defaultdict(collections.Counter)
    for record in report_of(counters, notes):
        for file in record["files"]:
            name = file["file"]
            if name not in text:
                continue
            ignored = set(never_called(file["functions"], text[name]))
            for line in file["lines"]:
                if line["line_number"] not in ignored:
                    reached[name][line["line_number"]] += max(line["count"], 0)

    print("lines of core/ that the unit tests reach:")
    total, missing, argued = 0, [], []
    for name, lines in sorted(reached.items()):
        total += len(lines)
        unreached = [number for number, count in lines.items() if not count]
        for number in sorted(unreached):
            before, code = text[name][number - 2:number]
            is_known = f"{name}: {before.strip()} / {code.strip()}" in known
            (argued if is_known else missing).append(f"{name}:{number}: {code}")
        print(f"{len(lines) - len(unreached):5d} of {len(lines):5d}  {name}")
    print(f"{total - len(missing) - len(argued):5d} of {total:5d}  in all")
    if argued:
        print("\n".join(["not reached, as test/not_reached.txt says:", *argued]))
    missing += [f"{name}: nothing of it was run" for name in text
                if name.endswith(".cc") and name not in reached]
    print("\n".join(["not reached:", *missing]) if missing else "each other line is reached")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(*map(pathlib.Path, sys.argv[1:])))
