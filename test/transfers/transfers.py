"""Counts how often cache lines change hands; scripts/bench --transfers runs this."""

import argparse
import dataclasses
import datetime
import fnmatch
import os
import shlex
import shutil
import sys
import tempfile
import time
from typing import Callable

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "test/bench"))

import allocators  # noqa: E402  pylint: disable=wrong-import-position
import rows as catalogue  # noqa: E402  pylint: disable=wrong-import-position
from instrument import QEMU, Failed, Instrument, Sum  # noqa: E402  pylint: disable=C0413


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    # What it runs, with so many threads and so many times the usual work.
    command: Callable
    # The numbers of threads that it can have; None if it has any.
    threads: tuple = None
    least: int = 1


def workload(name, steps_per_thread, least=1):
    """A workload of test/bench/workload.cc."""
    every = {"threadtest": 20_000_000, "larson": 15_000_000, "xmalloc": 8_000_000,
             "mstress": 12_000_000, "cache-thrash": 600_000, "cache-scratch": 600_000}

    def command(threads, work):
        share = steps_per_thread(threads) * work / every[name]
        return ["workload", name, str(threads), f"{share:.8f}"]
    return Row(name, command, least=least)


def loop(name):
    """A row of test/bench/micro.cc."""
    def command(_, work):
        return ["micro", name, "--objects", str(int(200_000 * work))]
    return Row(name, command, threads=(2,))


# The steps are few, for an emulation. threadtest does 100,000 a round. Those of larson and
# mstress are shared by 20 and 10 generations of threads.
ROWS = [
    workload("threadtest", lambda threads: 100_000 * 3),
    workload("cache-thrash", lambda threads: 200 * threads),
    workload("cache-scratch", lambda threads: 200 * threads),
    workload("larson", lambda threads: 20 * 1000 * threads),
    workload("mstress", lambda threads: 10 * 1000 * threads),
    workload("xmalloc", lambda threads: 3000 * threads, least=2),
    loop("other-thread-64"),
    loop("other-thread-random"),
    loop("swap-random"),
]


def what(row):
    if row.name in catalogue.WORKLOADS:
        return catalogue.WORKLOADS[row.name][1]
    return catalogue.MICRO[row.name]


def own_data(allocator, report):
    """The traffic of an allocator's data, in the second half of the run. Other parts of the C
    library have variables too, so of that only what malloc touches counts."""
    where = ("inside",) if allocator.name == "glibc" else ("inside", "outside")
    return report.sum("allocator", where, second_half=True)


def variables(allocator, threads):
    """Those that allocators ask for the number of processors are told one for each thread."""
    ways = {"glibc": {"GLIBC_TUNABLES": f"glibc.malloc.arena_max={8 * threads}"},
            "jemalloc": {"MALLOC_CONF": f"narenas:{4 * threads}"}}
    words = allocator.environment()
    words.pop("LD_PRELOAD")
    return {**words, **ways.get(allocator.name, {})}


@dataclasses.dataclass
class Result:
    """One cell: per object of the second half of the run."""
    data: float
    blocks: float
    exchanged: float
    report: object

    @property
    def total(self):
        return self.data + self.blocks


class Runner:
    def __init__(self, binaries, work):
        self.binaries = binaries
        self.work = work
        self.instrument = Instrument(f"{binaries}/libtransfers.so",
                                     f"{binaries}/libannounce.so")

    def result(self, row, allocator, threads):
        program, *arguments = row.command(threads, self.work)
        report = self.instrument.run(
            [f"{self.binaries}/{program}"] + arguments, allocator.path,
            variables(allocator, threads), timeout=3600)
        objects = report.objects_counted(second_half=True)
        data = own_data(allocator, report).transfers
        blocks = report.sum("blocks", second_half=True).transfers
        return Result(data / objects, blocks / objects, report.exchanged / report.objects, report)


def number(value):
    return f"{value:.4f}" if value < 0.1 else f"{value:.2f}"


def table(row, columns, results):
    """Lines of Markdown; `results` by threads and allocator."""
    yield "| threads | exchanged | " + " | ".join(a.name for a in columns) + " |"
    yield "| ---: | ---: |" + " ---: |" * len(columns)
    for threads in sorted({threads for threads, _ in results}):
        cells, totals = [], []
        for allocator in columns:
            result = results.get((threads, allocator.name))
            good = isinstance(result, Result)
            totals.append(round(result.total, 4) if good else float("inf"))
            cells.append(f"{number(result.data)} + {number(result.blocks)}" if good else "failed")
        cells = [f"**{cell}**" if total == min(totals) else cell
                 for cell, total in zip(cells, totals)]
        exchanged = next((number(r.exchanged) for (count, _), r in results.items()
                          if count == threads and isinstance(r, Result)), "")
        yield f"| {threads} | {exchanged} | " + " | ".join(cells) + " |"
    yield ""
    yield f"`{row.name}`: {what(row)}"
    yield ""


def short(name):
    """Without the arguments, and without what all names have."""
    name = name.partition("(anonymous namespace)::")[2] or name
    return name.partition("(")[0].replace("aomalloc::", "") or name


def worst_lines(report, most):
    """Those of the allocator's data: their traffic, their names, and who touches them."""
    lines = [line for line in report.words["lines"] if line["kind"] == "allocator"][:most]
    for line in lines:
        places = {}
        for place in line["places"]:
            name = short((report.names(place["code"]) or ["?"])[0])
            name += " (store)" if place["store"] else ""
            traffic = Sum(place["transfers"], place["invalidations"])
            places[name] = places.get(name, Sum()) + traffic
        heaviest = sorted(places.items(),
                          key=lambda one: -one[1].transfers - one[1].invalidations)[:5]
        names = ", ".join(short(name) for name in report.names(line["address"], 64)) or "mapped"
        yield (f"{line['transfers']} + {line['invalidations']}  {line['address']:#x} {names}: "
               + ", ".join(f"{name} {s.transfers} + {s.invalidations}" for name, s in heaviest))


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench --transfers", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Counts how often cache lines change hands, under qemu; test/transfers/"
        "README.md says how, and what that does not show.")
    parser.add_argument("row", nargs="*", metavar="ROW",
                        help="a row, or a pattern like 'cache-*' (default: all)")
    parser.add_argument("--threads", default="1,2,4,8,16,32,64", metavar="LIST",
                        help="(default: 1,2,4,8,16,32,64)")
    parser.add_argument("--work", type=float, default=1, metavar="N",
                        help="so many times the usual work")
    parser.add_argument("--allocator", action="append", default=[], metavar="NAME",
                        help="this one alone; repeatable")
    parser.add_argument("--with", action="append", default=[], dest="others",
                        metavar="NAME=PATH.so", help="one more allocator; repeatable")
    parser.add_argument("--lines", type=int, default=0, metavar="N",
                        help="tell the N worst lines of each run")
    parser.add_argument("--out", metavar="FILE", help="where the tables go as well")
    parser.add_argument("--list", action="store_true", help="tell the rows, and stop")
    # For scripts/bench.
    parser.add_argument("--needs", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--library", help=argparse.SUPPRESS)
    parser.add_argument("--programs", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        options.threads = [int(n) for n in options.threads.split(",")]
    except ValueError:
        parser.error("--threads: a list of numbers, like 1,8,64")
    for pattern in options.row:
        if not any(fnmatch.fnmatch(row.name, pattern) for row in ROWS):
            parser.error(f"no row {pattern}; --list tells them")
    return options


def say(words):
    print(words, end="", file=sys.stderr, flush=True)


def count(runner, row, columns, options):
    """The results of a row, by threads and allocator."""
    results = {}
    for threads in row.threads or [n for n in options.threads if n >= row.least]:
        say(f"{row.name}-{threads}:")
        for allocator in columns:
            begin = time.monotonic()
            try:
                result = runner.result(row, allocator, threads)
                say(f"  {allocator.name} {number(result.data)} + {number(result.blocks)}"
                    f" ({time.monotonic() - begin:.0f} s)")
            except Failed as why:
                result = str(why)
                say(f"  {allocator.name} failed: {why}")
            results[threads, allocator.name] = result
            if options.lines and isinstance(result, Result):
                say("\n  " + "\n  ".join(worst_lines(result.report, options.lines)) + "\n")
        say("\n")
    return results


def heading(columns):
    words = shlex.join(["scripts/bench", "--transfers"] + [
        word for word in sys.argv[1:] if not word.startswith(("--library=", "--programs="))])
    yield "# Transfers per object"
    yield ""
    yield (f"Counted on {datetime.date.today()} by `{words}`. [README.md](README.md) says what "
           "is counted.")
    yield ("A cell has transfers of the allocator's data + transfers of blocks, per object. "
           "\"exchanged\" is the part of the blocks that a thread freed which had not allocated "
           "them. The least sum is in bold.")
    yield ""
    for allocator in columns:
        yield f"- {allocator.name}: {allocator.version}"
    yield ""


def copied(options, binaries):
    """Copies what is run, which then stays the same whatever is built meanwhile."""
    bench = os.path.join(os.path.dirname(options.programs), "bench")
    for path in [options.library, f"{bench}/workload", f"{bench}/micro",
                 f"{options.programs}/libtransfers.so", f"{options.programs}/libannounce.so"]:
        shutil.copy(path, binaries)


def count_all(rows, options):
    """Counts the rows, and returns the lines of the tables."""
    with tempfile.TemporaryDirectory(prefix="aomalloc-transfers.") as binaries:
        copied(options, binaries)
        columns = [a for a in allocators.find(binaries, ROOT, options.others)
                   if a.name != allocators.LIMIT
                   and (not options.allocator or a.name in options.allocator)]
        runner = Runner(binaries, options.work)
        lines = list(heading(columns))
        for row in rows:
            results = count(runner, row, columns, options)
            lines += [f"## {row.name}", ""] + list(table(row, columns, results))
            if options.out:
                with open(options.out, "w", encoding="utf-8") as file:
                    file.write("\n".join(lines))
    return lines


def main():
    options = arguments()
    chosen = [row for row in ROWS if not options.row
              or any(fnmatch.fnmatch(row.name, pattern) for pattern in options.row)]
    if options.list:
        for row in chosen:
            print(f"{row.name:24} {what(row)}")
        return
    if options.needs:
        print(f"{QEMU}=qemu-user")
        print("nm=binutils")
        for path, package in allocators.DEBIAN.values():
            print(f"{path}={package}")
        return
    lines = count_all(chosen, options)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
