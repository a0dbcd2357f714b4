"""The benchmark. scripts/bench installs and builds what this needs; see --help."""

import argparse
import csv
import fnmatch
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time

import allocators
import rows as catalogue
from runner import Failed, Runner

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# As BUILD has them.
PROGRAMS = ["handler", "libbump.so", "measure", "memory", "micro", "startup", "workload"]

FIELDS = ["row", "allocator", "round", "value", "unit", "wall_s", "cpu_s", "rss_kib",
          "minor_faults", "failed"]


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures aomalloc beside other allocators; all run in turn, row by row.",
        epilog="""\
scripts/bench --transfers --help tells of another measurement: cache lines that change
hands, counted under emulation.

DIR gets raw.csv, README.md with the tables, and plots. Where DIR has figures of
other rows from an earlier run they are kept, and reported with the new ones.""")
    parser.add_argument("row", nargs="*", metavar="ROW",
                        help="a row, or a pattern like 'pair-*' (default: all)")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="how often each is run (default: 5)")
    parser.add_argument("--threads", default=None, metavar="LIST",
                        help="threads of the rows that have a choice (default: 1,2,4)")
    parser.add_argument("--with", action="append", default=[], dest="others",
                        metavar="NAME=PATH.so", help="one more allocator; repeatable")
    parser.add_argument("--quick", action="store_true",
                        help="one round of less work: two minutes")
    parser.add_argument("--out", metavar="DIR", help="(default: a new one under /tmp)")
    parser.add_argument("--list", action="store_true", help="tell the rows, and stop")
    # For scripts/bench.
    parser.add_argument("--needs", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--library", help=argparse.SUPPRESS)
    parser.add_argument("--programs", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    try:
        options.threads = [int(n) for n in (
            options.threads or ("2" if options.quick else "1,2,4")).split(",")]
    except ValueError:
        parser.error("--threads: a list of numbers, like 1,2,4")
    return parser, options


def chosen(parser, options):
    every = catalogue.all_rows(options.threads)
    for pattern in options.row:
        if not any(fnmatch.fnmatch(row.name, pattern) for row in every):
            parser.error(f"no row {pattern}; --list tells them")
    return [row for row in every if not options.row
            or any(fnmatch.fnmatch(row.name, pattern) for pattern in options.row)]


def needs(rows):
    """WHAT=PACKAGE for each package that must be there."""
    pairs = {f"{path}={package}" for path, package in allocators.DEBIAN.values()}
    pairs.add("/usr/lib/python3/dist-packages/matplotlib=python3-matplotlib")
    for row in rows:
        pairs.update(row.packages)
    return sorted(pairs)


def record_of(runner, row, allocator, number):
    """A record (see FIELDS) of one run."""
    record = dict.fromkeys(FIELDS, "")
    record.update(row=row.name, allocator=allocator.name, round=number,
                  unit=catalogue.GROUPS[row.group].unit)
    try:
        sample = row.sample(runner, allocator)
        record.update(value=f"{sample.value:.6g}", wall_s=sample.usage["wall"],
                      cpu_s=sample.usage["cpu"], rss_kib=sample.usage["rss_kib"],
                      minor_faults=sample.usage["minor_faults"])
    except Failed as why:
        record["failed"] = str(why)
    return record


def say(words):
    print(words, end="", file=sys.stderr, flush=True)


def measure(runner, rows, columns, rounds):
    """All rows, interleaved; yields the records of a row in one round."""
    failed = set()
    todo = [(number, row) for number in range(rounds) for row in rows
            if number == 0 or not row.once]
    begin = time.monotonic()
    for done, (number, row) in enumerate(todo):
        left = (time.monotonic() - begin) / done * (len(todo) - done) / 60 if done else 0
        say(f"round {number + 1} of {rounds}, row {done + 1} of {len(todo)}"
            + (f", {left:.0f} min left" if done else "") + f": {row.name}")
        found = []
        turn = done % len(columns)
        for allocator in columns[turn:] + columns[:turn]:
            # Once is enough: what failed is not tried until it works.
            if not row.takes(allocator) or (row.name, allocator.name) in failed:
                continue
            record = record_of(runner, row, allocator, number + 1)
            if record["failed"]:
                failed.add((row.name, allocator.name))
            say(f"  {allocator.name} {record['value'] or 'failed'}")
            found.append(record)
        say("\n")
        yield found


def read(path):
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def write(path, records):
    with open(path + ".new", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(records)
    os.replace(path + ".new", path)


def copied(options, work):
    """A folder with what is measured, which stays the same whatever is built meanwhile."""
    binaries = os.path.join(work, "bin")
    os.mkdir(binaries)
    for path in [options.library] + [os.path.join(options.programs, name)
                                     for name in PROGRAMS]:
        shutil.copy(path, binaries)
    return binaries


def command():
    """What was asked for, without what scripts/bench adds."""
    return shlex.join(["scripts/bench"] + [
        word for word in sys.argv[1:] if not word.startswith(("--library=", "--programs="))])


def main():
    parser, options = arguments()
    rows = chosen(parser, options)
    if options.needs:
        print(*needs(rows), sep="\n")
        return
    if options.list:
        for row in rows:
            print(f"{row.name:24} {row.what}")
        return
    # Needs matplotlib, which is there by now.
    import report  # pylint: disable=import-outside-toplevel

    out = options.out or tempfile.mkdtemp(prefix="aomalloc-bench.")
    os.makedirs(out, exist_ok=True)
    machine = allocators.machine()
    raw = os.path.join(out, "raw.csv")
    names = {row.name for row in rows}
    records = [old for old in read(raw) if old["row"] not in names]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("scripts/bench: terminated"))
    with tempfile.TemporaryDirectory(prefix="aomalloc-bench-work.") as work:
        binaries = copied(options, work)
        columns = allocators.find(binaries, ROOT, options.others)
        runner = Runner(binaries, work, options.quick)
        for found in measure(runner, rows, columns, options.rounds):
            records += found
            write(raw, records)
    threads = catalogue.threads_in(record["row"] for record in records)
    report.write(out, catalogue.all_rows(sorted(threads)), columns, records, machine,
                 command())
    with open(os.path.join(out, "README.md"), encoding="utf-8") as file:
        print(file.read())
    print(f"aomalloc: the figures are in {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
