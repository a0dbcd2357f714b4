"""What is measured: every row, what it stresses and where it comes from."""

import dataclasses
from typing import Callable


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    group: str
    unit: str
    what: str
    # (runner, allocator) -> Sample
    sample: Callable
    packages: tuple = ()
    # Who takes part; None is everybody.
    only: tuple = None

    def takes(self, allocator):
        return self.only is None or allocator.name in self.only


@dataclasses.dataclass(frozen=True)
class Group:
    title: str
    quantity: str
    unit: str
    what: str
    # Whether the work is the same for all, so that the peak of memory tells.
    rss: bool


GROUPS = {
    "micro": Group("Nanoseconds per object", "Time", "Nanoseconds",
                   "A malloc, one store into the block, and its free.", False),
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
    "pair-1M": "As pair-16: 1 MiB: whether the system is asked each time.",
    "pair-random": "As pair-16: random sizes of 16 to 1024 bytes: the lookup of size classes.",
    "pair-new": "As pair-16: operator new and sized delete of 64 bytes.",
    "pair-calloc": "As pair-16: calloc of 256 bytes.",
    "pair-aligned": "As pair-16: aligned_alloc of 128 bytes at 64.",
    "realloc": "A block grows from 16 bytes to 16 KiB, by half each time; a step is an object.",
    "live-1k-64": "1,000 blocks of 64 bytes; one at random is replaced.",
    "live-1k-random": "1,000 blocks of 16 to 1024 bytes; one at random is replaced.",
    "live-200k-64": "200,000 blocks of 64 bytes; one at random is replaced: cache misses.",
    "batch-lifo": "10,000 blocks of 64 bytes, freed last to first.",
    "batch-fifo": "10,000 blocks of 64 bytes, freed first to last.",
    "batch-random": "10,000 blocks of 64 bytes, freed in random order.",
    "batch-200k-random": "200,000 blocks of 64 bytes, freed in random order.",
    "other-thread-64": "One thread allocates blocks of 64 bytes, another frees them; "
                       "the work of both, without waiting.",
    "other-thread-random": "As other-thread-64, with 16 to 1024 bytes.",
    "swap-random": "Two threads free each other's blocks of 16 to 1024 bytes; as above.",
}


def micro_row(name, what):
    def sample(runner, allocator):
        seconds = "0.03" if runner.quick else "0.3"
        return runner.printed(allocator, [runner.program("micro"), name, seconds], 60)
    return Row(name, "micro", "ns", what, sample)


def all_rows(threads):
    """Every row there is, with as many threads as in the list `threads`."""
    del threads
    return [micro_row(name, what) for name, what in MICRO.items()]
