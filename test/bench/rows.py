"""What is measured: every row, what it stresses and where it comes from."""

import dataclasses
from typing import Callable

import allocators
from programs import PROGRAMS


@dataclasses.dataclass(frozen=True)
class Group:
    title: str
    quantity: str
    unit: str
    what: str
    # Whether peak memory and page faults tell something: the work is fixed.
    fixed: bool = False

    @property
    def heading(self):
        return f"{self.title}: {self.quantity}"


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    group: str
    what: str
    # (runner, allocator) -> Sample
    sample: Callable
    packages: tuple = ()
    threads: int = 1
    # What does not vary is measured in the first round alone.
    once: bool = False
    # Whether an allocator takes part.
    takes: Callable = lambda allocator: True


GROUPS = {
    "micro": Group(
        "Short loops", "time", "Nanoseconds per object",
        "The processor time of a malloc, one store into the block, and its free. bump "
        "goes round in a few KiB here, so it shows what the loop itself costs."),
    "steps": Group(
        "Short loops", "instructions", "Instructions per object",
        "The same loops, counted by single steps: the instructions that run outside of "
        "the program. There is no clock and no noise."),
    "workload": Group(
        "Workloads", "time", "Seconds",
        "A whole process that does a fixed amount of work, in the manner of the suites "
        "that allocators are usually compared by. The number of threads is at the end of "
        "the name; the threads share the work. The figure is processor time with one "
        "thread, and time on the clock with several.", True),
    "threads": Group(
        "Many threads", "time", "Seconds of processor time",
        "Threads come one by one, each allocates and frees ten blocks of 50 to 500 bytes. "
        "The number of threads is at the end of the name. Most of the time goes to the "
        "system, for the threads themselves.", True),
    "program": Group(
        "Programs", "time", "Seconds of processor time",
        "Debian's programs with fixed work: the processor time of the whole process, "
        "start and end included.", True),
    "memory": Group(
        "Memory held", "resident memory", "Bytes resident per byte live",
        "Resident memory divided by live memory: 1 would be no overhead at all."),
    "handler": Group(
        "In a signal handler that interrupted malloc", "time", "Nanoseconds per object",
        "A handler runs at an instruction of malloc or free, and allocates and frees 64 "
        "bytes. The figure is the median over all instructions. No peer may be used in "
        "this way."),
}

MICRO = {
    "pair-16": "Each block is freed before the next is allocated, the shortest way: 16 bytes.",
    "pair-64": "As pair-16: 64 bytes.",
    "pair-256": "As pair-16: 256 bytes.",
    "pair-1024": "As pair-16: 1 KiB.",
    "pair-4096": "As pair-16: 4 KiB.",
    "pair-16K": "As pair-16: 16 KiB.",
    "pair-32K": "As pair-16: 32 KiB.",
    "pair-64K": "As pair-16: 64 KiB.",
    "pair-1M": "As pair-16: 1 MiB, and whether the system is asked each time.",
    "pair-random": "As pair-16: random sizes of 16 to 1024 bytes, so the lookup of size classes.",
    "pair-new": "As pair-16: operator new and sized delete of 64 bytes.",
    "pair-calloc": "As pair-16: calloc of 256 bytes.",
    "pair-aligned": "As pair-16: aligned_alloc of 128 bytes at 64.",
    "realloc": "A block grows from 16 bytes to 16 KiB, by half each time; a step is an object.",
    "live-1k-64": "1,000 blocks of 64 bytes; one at random is replaced.",
    "live-1k-random": "1,000 blocks of 16 to 1024 bytes; one at random is replaced.",
    "live-200k-64": "200,000 blocks of 64 bytes; one at random is replaced: cache misses.",
    "batch-lifo": "10,000 blocks of 64 bytes are allocated, then freed last to first.",
    "batch-fifo": "10,000 blocks of 64 bytes, freed first to last.",
    "batch-random": "10,000 blocks of 64 bytes, freed in random order.",
    "batch-200k-random": "200,000 blocks of 64 bytes, freed in random order: cache misses.",
    "other-thread-64": "One thread allocates blocks of 64 bytes, another frees them; "
                       "the work of both, without their waiting.",
    "other-thread-random": "As other-thread-64, with 16 to 1024 bytes.",
    "swap-random": "As other-thread-random, with two threads that do both.",
}

TWO_THREADS = ("other-thread-64", "other-thread-random", "swap-random")

# Loops of one thread that do not take too long to step through.
STEPPED = ("pair-64", "pair-1024", "pair-32K", "pair-random", "pair-new", "pair-calloc",
           "pair-aligned", "live-1k-64", "live-1k-random")

# Name: (the numbers of threads that make sense, and what it is).
WORKLOADS = {
    "threadtest": (1, "Threads allocate 100,000 objects of 64 bytes and free them, over and "
                      "over: the plain path. After threadtest (Hoard, ASPLOS 2000)."),
    "larson": (1, "A server: threads replace blocks of 16 to 1,000 bytes at random, then "
                  "leave them to a new thread: blocks outlive threads. After larson (Larson "
                  "and Krishnan, ISMM 1998)."),
    "xmalloc": (2, "Half of the threads allocate, half free: all blocks cross threads. After "
                   "xmalloc (Lever and Boreham, USENIX 2000)."),
    "cache-thrash": (1, "Threads write to small objects of their own, over and over: active "
                        "false sharing. After cache-thrash (Hoard)."),
    "cache-scratch": (1, "The same, having freed an object that another thread allocated: "
                         "passive false sharing. After cache-scratch (Hoard)."),
    "shbench": (1, "Small blocks, freed partly last to first, partly first to last, partly "
                   "much later: mixed ages. After shbench (MicroQuill)."),
    "mstress": (1, "Threads allocate, realloc, keep and swap blocks up to 100 KiB, and end: "
                   "churn of threads. After the stress test of mimalloc (Leijen)."),
    "rptest": (1, "Sizes from 16 to 16,000 bytes; each fourth batch is freed by another "
                  "thread. After the benchmark of rpmalloc (Jansson)."),
    "alloc-test-1k": (0, "One of 1,000 live blocks is read, freed and replaced, all of it "
                         "written: small working set. After alloc-test (Ignatchenko, ITHare)."),
    "alloc-test-10k": (0, "The same with 10,000 live blocks."),
    "alloc-test-100k": (0, "The same with 100,000 live blocks."),
    "alloc-test-1M": (0, "The same with 1,000,000 live blocks: memory, caches, TLB."),
}

THREADS = {
    "many-threads": "All threads stay until the last one has come.",
    "mixed-threads": "A third of the threads stay, a third end in order, a third vanish by the "
                     "raw system call and leave a block.",
}

MEMORY = {
    "peak-idle": "256 MiB of blocks up to 32 KiB; all but the oldest 32 MiB are freed, and a "
                 "second goes by.",
    "peak-active": "The same; in that second a block is allocated and freed 100 times.",
    "scattered-idle": "The same as peak-idle, but what stays are groups of 2,000 blocks here "
                      "and there: fragmentation.",
    "scattered-active": "The same, with blocks allocated and freed in that second.",
    "phases": "Phases of one size each: 48 MiB are allocated, and freed but for one block in 50. "
              "What is resident at the worst moment.",
    "phases-trim": "The same, but what survives does so for two phases. What is resident at the "
                   "end, after malloc_trim.",
    "drift": "32 MiB of blocks, one at random replaced time and again, while their sizes become "
             "half as large again. What is resident at the worst moment.",
    "strings": "8,000 strings grow by turns, from nothing to 34 to 40 KB. What is resident at the "
               "worst moment, for each byte at the end.",
    "idle-threads": "1,000 threads hold a block of each of 40 sizes and do nothing more.",
}


def no_limit(allocator):
    """Where an allocator that never frees says nothing."""
    return allocator.name != allocators.LIMIT


def only_ours(allocator):
    return allocator.name == allocators.OURS


def micro_row(name):
    def sample(runner, allocator):
        seconds = "0.03" if runner.quick else "0.3"
        return runner.printed(allocator, [runner.program("micro"), name, seconds], 60)
    # With two threads a block of theirs may be needed to start one.
    takes = no_limit if name in TWO_THREADS else lambda allocator: True
    return Row(name, "micro", MICRO[name], sample, takes=takes)


def steps_row(name):
    def sample(runner, allocator):
        objects = "50" if runner.quick else "300"
        return runner.printed(allocator, [runner.program("micro"), name, "--steps", objects],
                              120)
    return Row("steps-" + name, "steps", MICRO[name], sample, once=True)


def workload_row(name, threads, what):
    def sample(runner, allocator):
        share = "0.2" if runner.quick else "1"
        return runner.timed(allocator, [runner.program("workload"), name, str(threads), share],
                            120, wall=threads > 1)
    return Row(f"{name}-{threads}", "workload", what, sample, threads=threads, takes=no_limit)


def workload_rows(name, threads):
    least, what = WORKLOADS[name]
    if least == 0:
        return [workload_row(name, 1, what)]
    return [workload_row(name, count, what) for count in threads if count >= least]


def threads_row(name, threads):
    def sample(runner, allocator):
        count = threads // 10 if runner.quick else threads
        return runner.timed(allocator, [runner.program("workload"), name, str(count), "1"], 120)
    return Row(f"{name}-{threads}", "threads", THREADS[name], sample, takes=no_limit)


def memory_row(name):
    def sample(runner, allocator):
        share = "0.2" if runner.quick else "1"
        return runner.printed(allocator, [runner.program("memory"), name, share], 60)
    return Row(name, "memory", MEMORY[name], sample, takes=no_limit)


def handler_row(name, pairs, what):
    def sample(runner, allocator):
        return runner.printed(allocator, [runner.program("handler"), str(pairs)], 60)
    return Row(name, "handler", what, sample, takes=only_ours)


def threads_in(names):
    """The numbers of threads that are in names of rows."""
    parts = [name.rpartition("-") for name in names]
    return {int(count) for work, _, count in parts if work in WORKLOADS}


def all_rows(threads):
    """Every row there is, with as many threads as the list `threads` says."""
    rows = [micro_row(name) for name in MICRO]
    rows += [steps_row(name) for name in STEPPED]
    rows += [row for name in WORKLOADS for row in workload_rows(name, threads)]
    rows += [Row(name, "program", program.what, program.sample, program.packages)
             for name, program in PROGRAMS.items()]
    rows += [threads_row(name, count) for name in THREADS for count in (1000, 8000, 32000)]
    rows += [memory_row(name) for name in MEMORY]
    rows += [handler_row("handler-first", 1, "One object in the handler."),
             handler_row("handler-1000", 1000, "1,000 objects in the handler.")]
    return rows
