#!/usr/bin/python3 -I
"""The instrument counts what is known, and our library stays below its bounds.

How the system wakes threads up differs from run to run, so the library's figures do a
little. The bounds are far above them, and far below what shared lines would cost.
"""

import os
import sys

sys.path.insert(0, "test/transfers")

from instrument import Failed, Instrument, Sum  # noqa: E402  pylint: disable=wrong-import-position

ROUNDS = 200

# Two threads do ROUNDS steps each, in turn. The first access of all has the line from
# memory; what main has written has to come from there.
KNOWN = {
    "in-turn": ("in_turn", Sum(2 * ROUNDS - 1, 2 * ROUNDS - 1)),
    # The load brings the line, and the store then has the other drop it.
    "counted": ("counted", Sum(2 * ROUNDS - 1, 2 * ROUNDS - 1)),
    "false-sharing": ("false_sharing", Sum(2 * ROUNDS - 1, 2 * ROUNDS - 1)),
    "padded": ("padded", Sum(0, 0)),
    "read-shared": ("read_shared", Sum(2, 0)),
    # The writer does not get the line again: it has it, and takes it from the reader.
    "producer-and-consumer": ("producer_and_consumer", Sum(ROUNDS, ROUNDS - 1)),
    "atomic": ("atomic_line", Sum(2 * ROUNDS - 1, 2 * ROUNDS - 1)),
    "straddling": ("straddling", Sum(2 * (2 * ROUNDS - 1), 2 * (2 * ROUNDS - 1))),
}

SCRATCH = ["test/bench/workload", "cache-scratch", "4", "0.0007"]

failures = []


def check(good, words):
    print(("ok: " if good else "FAILED: ") + words, flush=True)
    if not good:
        failures.append(words)


def check_known(instrument):
    for case, (variable, expected) in KNOWN.items():
        report = instrument.run(["test/transfers/known", case, str(ROUNDS)])
        found = report.line(variable)
        check(found == expected, f"{case}: {found}, expected {expected}")


def check_clock(instrument):
    try:
        instrument.run(["test/transfers/known", "clock"])
        check(True, "the clock goes by instructions")
    except Failed as why:
        check(False, f"the clock goes by instructions: {why}")


def figures(instrument, command):
    """Transfers per object of the allocator's data, and of blocks: by the allocator, and by
    the program."""
    report = instrument.run(command, os.path.abspath("preload/libaomalloc.so"),
                            {"AO_MALLOC_ENABLE_MMAP": "1"})
    data = report.sum("allocator").transfers / report.objects
    inside = report.sum("blocks", ["inside"]).transfers / report.objects
    outside = report.sum("blocks", ["outside"]).transfers / report.objects
    print(f"{' '.join(command[1:])}: {report.objects} objects, {report.exchanged} exchanged: "
          f"data {data:.5f}, blocks {inside:.5f} and {outside:.5f}")
    return report, data, inside, outside


def check_library(instrument):
    # Nothing is exchanged: what there is comes of threads that begin and end, and of slabs.
    report, data, inside, outside = figures(
        instrument, ["test/bench/workload", "threadtest", "8", "0.005"])
    check(report.objects > 200_000, "threadtest: the objects are seen")
    check(data < 0.05, "threadtest: the allocator's data")
    check(inside + outside < 0.05, "threadtest: blocks")
    # Threads share lines of blocks only until they have freed what they were given. One that
    # gives them such lines again has them share each of a thousand writes.
    report, data, inside, outside = figures(instrument, SCRATCH)
    check(outside < 10, "cache-scratch: blocks in the program")
    check(data < 5, "cache-scratch: the allocator's data")
    # All blocks are exchanged: each goes to the other thread and comes back. That is seen, and
    # what says so goes by the batch.
    report, data, inside, outside = figures(
        instrument, ["test/bench/micro", "other-thread-64", "--objects", "20000"])
    check(report.exchanged > 0.99 * 20_000, "other-thread-64: the exchange is seen")
    check(inside + outside < 3, "other-thread-64: blocks")
    check(data < 0.1, "other-thread-64: the allocator's data")


def main():
    instrument = Instrument(os.path.abspath("test/transfers/libtransfers.so"),
                            os.path.abspath("test/transfers/libannounce.so"))
    check_known(instrument)
    check_clock(instrument)
    check_library(instrument)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
